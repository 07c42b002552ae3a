"""The types of values that the sections share."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]

_T = TypeVar("_T")


def _listed(value: object) -> object:
    """Return the items of a text with commas between them. A variable may have such a text instead of a JSON array."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Listed = Annotated[tuple[_T, ...], BeforeValidator(_listed)]


def is_loopback(host: str) -> bool:
    """Return whether *host*, a name or an address, is this machine, which other machines cannot reach under it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Section(BaseModel):
    """A table of `config/default.toml`. An unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
