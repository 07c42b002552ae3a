"""Load settings from the defaults, a TOML file, `CONTACT_IMAGE_…` variables, and options. Later sources win."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from service.settings.secret_files import read_secret_files, secret_settings, secret_variables
from service.settings.values import Section
from service.settings.whole import Settings
from service.system.regular_file import open_regular


class BadSettings(Exception):
    """The settings cannot be used. *faults* has one line for every fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(faults)
        self.faults = faults


class _Variables(EnvSettingsSource):
    """Environment variables, and the *secrets* that stand for some. A list is a JSON array, or a text with commas."""

    def __init__(self, settings_cls: type[BaseSettings], secrets: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        files = {f"{name}_file" for name in secret_variables()}
        variables = {name: value for name, value in self.env_vars.items() if name not in files}
        self.env_vars = {**variables, **secrets}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            if get_origin(field.annotation) is tuple:
                return value  # `_listed` splits it
            raise


def load_settings(config: Path | None = None, defaults: Path | None = None, **options: dict[str, Any]) -> Settings:
    """Return the settings of the defaults, the TOML file *config*, the environment, and *options*. Later sources win.

    *defaults* is a TOML file between the defaults and *config*. *options* are sections of the command line.

    Raise `BadSettings` with every fault.
    """
    secrets, faults = read_secret_files(os.environ)
    faults += _unknown_variables()
    layers = [tomllib.loads((files("service") / "default.toml").read_text("utf-8"))]
    if defaults is not None:
        layers.append(tomllib.loads(defaults.read_text("utf-8")))
    if config is not None:
        try:
            with open_regular(config) as file:
                layers.append(tomllib.load(file))
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
            return init_settings, _Variables(settings_cls, secrets), InitSettingsSource(settings_cls, _merged(layers))

    try:
        settings = Layered(**options)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise BadSettings(faults + [_fault(each) for each in error.errors(include_url=False)]) from error
    except SettingsError as error:
        raise BadSettings([*faults, f"{error} (a section is given as JSON)"]) from error
    if faults:
        raise BadSettings(faults)
    return settings


def _merged(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sections of all *layers*. A setting of a later one wins."""
    merged: dict[str, Any] = {}
    for name, section in ((name, section) for layer in layers for name, section in layer.items()):
        both = isinstance(section, dict) and isinstance(merged.get(name), dict)
        merged[name] = merged[name] | section if both else section
    return merged


def _unknown_variables() -> list[str]:
    """Return a fault for every `CONTACT_IMAGE_` variable with an unknown section, or with one underscore for two.

    Other variables without `__` are ignored: Kubernetes sets some for a service that is called contact-image.
    """
    sections = {
        name: [each.upper() for each in field.annotation.model_fields]
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    names = [(section.upper(), name) for section, fields in sections.items() for name in fields]
    names += [(section.upper(), f"{name.upper()}_FILE") for section, name in secret_settings()]
    misspelled = {f"{section}_{name}": f"{section}__{name}" for section, name in names}
    faults = []
    for name in sorted(os.environ):
        rest = name.upper().removeprefix("CONTACT_IMAGE_")
        if rest == name.upper():
            continue
        if rest in misspelled and not os.environ[name].startswith(("tcp://", "udp://")):
            faults.append(f"{name}: is no setting; did you mean CONTACT_IMAGE_{misspelled[rest]}?")
        elif "__" in rest and rest.split("__")[0].lower() not in sections:
            faults.append(f"{name}: is no setting; the sections are {', '.join(sections)}")
    return faults


_SECRET = {"superoffice_url", "jwt_jwks_url", *(name for _, name in secret_settings())}
"""Settings that are secrets, or whose values may contain one."""


def _fault(error: ErrorDetails) -> str:
    """Return one line: the setting, its variable, the fault, and the given value unless it may be a secret."""
    path = [str(part) for part in error["loc"]]
    if not path:
        return error["msg"].removeprefix("Value error, ")
    name = ".".join(path)
    variable = "CONTACT_IMAGE_" + "__".join(part.upper() for part in path)
    # A value under an unknown name, or in place of a whole section, may be a misplaced secret.
    shown = len(path) == 2 and path[1] not in _SECRET and error["type"] != "extra_forbidden"
    given = f", not {error['input']!r}" if shown and not isinstance(error["input"], dict) else ""
    text = "is no setting" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return f"{name} ({variable}): {text}{given}"
