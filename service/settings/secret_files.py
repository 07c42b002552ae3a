"""Settings that are secrets, and the files that variables name for them: `CONTACT_IMAGE_<SECTION>__<NAME>_FILE`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from service.settings.values import Section
from service.settings.whole import Settings
from service.system.regular_file import open_regular

_MAX_BYTES = 65_536
"""Bytes of a file."""


def secret_settings() -> Iterator[tuple[str, str]]:
    """Yield the section and the name of every setting whose type has `SecretStr`."""
    for section, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            for name, setting in field.annotation.model_fields.items():
                if _is_secret(setting.annotation):
                    yield section, name


def read_secret_files(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the texts of the files that *environment* names, by the variables that they stand for; and the faults.

    The last line end of a file is cut off. A variable that is set itself, too, is a fault. Names match in any case.
    """
    named = {name.lower(): (name, value) for name, value in environment.items()}
    texts, faults = {}, []
    for variable in secret_variables():
        if (found := named.get(f"{variable}_file")) is None:
            continue
        name, path = found
        if variable in named:
            faults.append(f"{name}: {named[variable][0]} is set as well")
            continue
        try:
            texts[variable] = _read(Path(path))
        except (OSError, ValueError) as error:
            faults.append(f"{name}: {path}: cannot be read: {getattr(error, 'strerror', None) or error}")
    return texts, faults


def secret_variables() -> list[str]:
    """Return the names of the variables of all secrets, in lower case."""
    return [f"contact_image_{section}__{name}" for section, name in secret_settings()]


def _read(path: Path) -> str:
    """Return the text of the file at *path*. Raise OSError or ValueError, whose texts quote nothing of it."""
    with open_regular(path) as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES} bytes")
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("it is not in UTF-8") from None


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))
