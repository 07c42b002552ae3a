"""The operator's placeholders: files in a folder that are named after values of `ifBlank`."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from service.formats import IfBlank
from service.pictures.values import PlaceholderFile, PlaceholderFiles
from service.stores.describe import describe
from service.stores.names import SUFFIXES
from service.system.regular_file import open_regular

_KINDS = {each.spelled.lower(): each for each in IfBlank}
_NOT_FROM_FILES = {IfBlank.NULL: "Null has no picture", IfBlank.INITIALS: "Initials are drawn from the name"}


class BadPlaceholders(Exception):
    """Files cannot be placeholders. *faults* has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(faults)
        self.faults = faults


def read_placeholders(folder: Path, max_bytes: int) -> PlaceholderFiles:
    """Return the files in *folder* by kind, each of *max_bytes* bytes at most. No pixel is decoded. This blocks.

    Names match in any letter case. Hidden files and folders are left out. Raise `BadPlaceholders` for any other file.
    """
    found: dict[IfBlank, PlaceholderFile] = {}
    faults: list[str] = []
    try:
        paths = sorted(each for each in folder.iterdir() if not each.name.startswith(".") and not each.is_dir())
    except OSError as error:
        raise BadPlaceholders([f"{folder}: cannot be read: {error.strerror}"]) from None
    for path in paths:
        try:
            kind = _kind(path)
            if kind in found:
                raise ValueError("is a second file of that name")
            found[kind] = _read(path, max_bytes)
        except ValueError as error:
            faults.append(f"{path}: {error}")
        except OSError as error:
            faults.append(f"{path}: cannot be read: {error.strerror}")
    if faults:
        raise BadPlaceholders(faults)
    return found


def _kind(path: Path) -> IfBlank:
    kind = _KINDS.get(path.stem.lower())
    if kind is None or path.suffix[1:].lower() not in SUFFIXES:
        raise ValueError("must be named after a value of ifBlank and a format, for example Default.png")
    if kind in _NOT_FROM_FILES:
        raise ValueError(_NOT_FROM_FILES[kind])
    return kind


def _read(path: Path, max_bytes: int) -> PlaceholderFile:
    with open_regular(path) as file:
        data = file.read(max_bytes + 1)
    version = blake2b(data, digest_size=8).hexdigest()
    original = describe(0, data, version=version, modified=None, max_bytes=max_bytes)
    if original.fault is not None:
        raise ValueError(str(original.fault.error()))
    return PlaceholderFile(original, data)
