"""The names under which a contact's picture is looked for in a folder of originals."""

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
SUFFIXES = (*_LOWER, *(each.upper() for each in _LOWER), *(each.capitalize() for each in _LOWER))
"""In the order in which they are tried; the first file that is not empty is the picture."""

_NAME = re.compile(rf"([1-9][0-9]{{0,9}})\.(?:{'|'.join(_LOWER)})", re.IGNORECASE)
_SHARD = re.compile(r"[0-9]{3}")


class Found(NamedTuple):
    """A regular file of a contact; *size* in bytes."""

    path: str
    size: int


def shard(contact: int) -> str:
    """The sub-folder of a contact in large sets: 1,000 of them, so a million contacts lie 1,000 to a folder."""
    return f"{contact % 1000:03d}"


def is_shard(name: str) -> bool:
    """Whether *name* is one that `shard` gives."""
    return _SHARD.fullmatch(name) is not None


def contact_of(name: str) -> int | None:
    """The contact whose picture a file of that *name* would be, on a file system where case does not matter too."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def files(root: Path, contact: int) -> Iterator[Found]:
    """The regular files of *contact*, empty ones too, in their order: those beside the shards first.

    A fixed number of calls of `os.stat`, whatever the number of contacts. It takes a string: `pathlib` would cost more
    than the system's own work. Raises OSError for all but a name that leads to no file.
    """
    if contact <= 0:
        return
    folder = os.fspath(root)
    yield from _files_in(folder, contact)
    folder = f"{folder}/{shard(contact)}"
    if _status(folder) is not None:
        yield from _files_in(folder, contact)


def _files_in(folder: str, contact: int) -> Iterator[Found]:
    for suffix in SUFFIXES:
        path = f"{folder}/{contact}.{suffix}"
        if (size := _size(path)) is not None:
            yield Found(path, size)


def _size(path: str) -> int | None:
    """The size of a regular file; None for any other: opening a named pipe would block."""
    status = _status(path)
    return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link that leads to itself is no picture
            return None
        raise
