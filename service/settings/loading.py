"""Where settings come from: defaults, then the operator's TOML, then `CONTACT_IMAGE_…` variables, then options."""

from __future__ import annotations

import os
import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
    TomlConfigSettingsSource,
)

from service.settings.values import Section
from service.settings.whole import Settings


class BadSettings(Exception):
    """The settings cannot be used; *faults* lists every one, a line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(faults)
        self.faults = faults


class _Variables(EnvSettingsSource):
    """Variables, whose lists may also be names between commas."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            if get_origin(field.annotation) is tuple:
                return value  # `_listed` takes it apart
            raise


def load_settings(config: Path | None = None, beneath: Path | None = None, **options: dict[str, Any]) -> Settings:
    """The settings in force: defaults, *config*'s TOML, the environment, then *options* of the command line.

    *beneath* is a TOML file of other defaults.

    Raises `BadSettings` with every fault that was found.
    """
    faults = _foreign_variables()
    layers: list[Path | Traversable] = [files("service") / "default.toml"]
    if beneath is not None:
        layers.append(beneath)
    if config is not None:
        try:
            tomllib.loads(config.read_text("utf-8"))
            layers.append(config)
        except OSError as error:
            faults.append(f"{config}: cannot be read: {error.strerror}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            faults.append(f"{config}: cannot be read as TOML: {error}")

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            toml = TomlConfigSettingsSource(settings_cls, toml_file=layers, deep_merge=True)
            return init_settings, _Variables(settings_cls), toml

    try:
        settings = Layered(**options)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise BadSettings(faults + [_fault(each) for each in error.errors(include_url=False)]) from error
    except SettingsError as error:
        raise BadSettings([*faults, f"{error} (a section is given as JSON)"]) from error
    if faults:
        raise BadSettings(faults)
    return settings


def _foreign_variables() -> list[str]:
    """Variables of ours that name no section, or a setting with one underscore for two.

    Others without `__` are let be: Kubernetes makes some for a service of our name.
    """
    sections = {
        name: {each.upper() for each in field.annotation.model_fields}
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    near = {f"{name.upper()}_{each}": f"{name.upper()}__{each}" for name, fields in sections.items() for each in fields}
    faults = []
    for name in sorted(os.environ):
        rest = name.upper().removeprefix("CONTACT_IMAGE_")
        if rest == name.upper():
            continue
        if rest in near and not os.environ[name].startswith(("tcp://", "udp://")):
            faults.append(f"{name}: is no setting; did you mean CONTACT_IMAGE_{near[rest]}?")
        elif "__" in rest and rest.split("__")[0].lower() not in sections:
            faults.append(f"{name}: is no setting; the sections are {', '.join(sections)}")
    return faults


_SECRET = ("url", "superoffice_url", "jwt_jwks_url", "app_tokens", "signing_keys")
"""Settings that are secrets, or whose values may hold one."""


def _fault(error: ErrorDetails) -> str:
    """One line: the setting, its variable, what was wrong and what was given (a secret is not shown)."""
    path = [str(part) for part in error["loc"]]
    if not path:
        return error["msg"].removeprefix("Value error, ")
    name = ".".join(path)
    variable = "CONTACT_IMAGE_" + "__".join(part.upper() for part in path)
    # What stands under a wrong name, or in place of a whole section, may be a secret that missed its place.
    shown = len(path) == 2 and path[1] not in _SECRET and error["type"] != "extra_forbidden"
    given = f", not {error['input']!r}" if shown and not isinstance(error["input"], dict) else ""
    text = "is no setting" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return f"{name} ({variable}): {text}{given}"
