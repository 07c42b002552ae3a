"""What settings are made of: their kinds of values."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]

_T = TypeVar("_T")


def _listed(value: object) -> object:
    """A list as TOML writes it; in a variable, names between commas will do, where JSON is a burden."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Listed = Annotated[tuple[_T, ...], BeforeValidator(_listed)]


class Section(BaseModel):
    """A table of `config/default.toml`: it knows its names, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)
