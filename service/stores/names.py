"""The names of a contact's files in a folder of originals."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LOWER = (
    "jpg", "jpeg", "jfif", "jpe", "png", "apng", "gif", "tif", "tiff", "webp", "avif", "bmp", "mpo", "heic",
)  # fmt: skip
SUFFIXES = (*_LOWER, *(suffix.upper() for suffix in _LOWER), *(suffix.capitalize() for suffix in _LOWER))
"""File suffixes in the order of the lookup. The first file that is not empty is the picture."""

_NAME = re.compile(rf"([1-9][0-9]{{0,9}})\.(?:{'|'.join(_LOWER)})", re.IGNORECASE)
_SHARD = re.compile(r"[0-9]{3}")


class ContactFile(NamedTuple):
    """A regular file of a contact; *size* is in bytes."""

    path: str
    size: int


def shard(contact: int) -> str:
    """Return the name of the contact's subfolder in large sets: 1,000 subfolders of 1,000 for a million contacts."""
    return f"{contact % 1000:03d}"


def is_shard(name: str) -> bool:
    """Return whether *name* is the name of a shard."""
    return _SHARD.fullmatch(name) is not None


def contact_in_name(name: str) -> int | None:
    """Return the contact whose picture a file called *name* would be, in any letter case."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def files_of(root: Path, contact: int, *, sharded: bool = False) -> Iterator[ContactFile]:
    """Yield the regular files of *contact*, empty ones too: those in *root*, then those in its shard, by `SUFFIXES`.

    With *sharded*, *root* itself has none. This takes a fixed number of calls of `os.stat`, whatever the number of
    contacts. Paths are strings, since `pathlib` would cost more than the calls. Raise OSError unless it only means that
    there is no such file.
    """
    if contact <= 0:
        return
    folder = os.fspath(root)
    if not sharded:
        yield from _files_in(folder, contact)
    folder = f"{folder}/{shard(contact)}"
    if _status(folder) is not None:
        yield from _files_in(folder, contact)


def paths_of(contact: int, *, sharded: bool) -> Iterator[str]:
    """Yield the paths in the folder at which the picture of *contact* may be, in the order of `files_of`."""
    if contact > 0:
        within = f"{shard(contact)}/"
        for folder in (within,) if sharded else ("", within):
            for suffix in SUFFIXES:
                yield f"{folder}{contact}.{suffix}"


def pictures_in(root: Path | str) -> Iterator[tuple[int, str]]:
    """Yield contact and path of each picture in *root*, then of those in its shards, as the system lists them."""
    shards = []
    with os.scandir(root) as entries:
        for entry in entries:
            if is_shard(entry.name):
                shards.append(entry.path)
            elif (contact := contact_in_name(entry.name)) is not None and entry.is_file():
                yield contact, entry.path
    for folder in shards:
        with os.scandir(folder) as entries:
            for entry in entries:
                if (contact := contact_in_name(entry.name)) is not None and entry.is_file():
                    yield contact, entry.path


def _files_in(folder: str, contact: int) -> Iterator[ContactFile]:
    for suffix in SUFFIXES:
        path = f"{folder}/{contact}.{suffix}"
        if (size := _size(path)) is not None:
            yield ContactFile(path, size)


def _size(path: str) -> int | None:
    """Return the size of a regular file, and None for any other file: opening a named pipe would block."""
    status = _status(path)
    return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself is no picture
            return None
        raise
