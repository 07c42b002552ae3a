"""The names of a contact's files in a folder of originals."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from service.stores.picture_folder import OpenFolder

_LOWER = (
    "jpg", "jpeg", "jfif", "jpe", "png", "apng", "gif", "tif", "tiff", "webp", "avif", "bmp", "mpo", "heic",
)  # fmt: skip
SUFFIXES = (*_LOWER, *(suffix.upper() for suffix in _LOWER), *(suffix.capitalize() for suffix in _LOWER))
"""File suffixes in the order of the lookup. The first file that is not empty is the picture."""

_NAME = re.compile(rf"([1-9][0-9]{{0,9}})\.(?:{'|'.join(_LOWER)})", re.IGNORECASE)
_SHARD = re.compile(r"[0-9]{3}")


class ContactFile(NamedTuple):
    """A regular file of a contact. *path* is relative to the folder of pictures; *size* is in bytes."""

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


def files_of(folder: OpenFolder, contact: int, *, sharded: bool = False) -> Iterator[ContactFile]:
    """Yield the regular files of *contact*, empty ones too: those in *folder*, then those in its shard, by `SUFFIXES`.

    With *sharded*, *folder* itself has none. This takes a fixed number of system calls, whatever the number of
    contacts. Raise OSError unless it only means that there is no such file.
    """
    if contact <= 0:
        return
    for within in (shard(contact),) if sharded else ("", shard(contact)):
        for path, status in folder.statuses(within, (f"{contact}.{suffix}" for suffix in SUFFIXES)):
            if stat.S_ISREG(status.st_mode):
                yield ContactFile(path, status.st_size)


def paths_of(contact: int, *, sharded: bool) -> Iterator[str]:
    """Yield the paths in the folder at which the picture of *contact* may be, in the order of `files_of`."""
    if contact > 0:
        within = f"{shard(contact)}/"
        for folder in (within,) if sharded else ("", within):
            for suffix in SUFFIXES:
                yield f"{folder}{contact}.{suffix}"


def pictures_in(folder: OpenFolder) -> Iterator[tuple[int, str]]:
    """Yield contact and path of each picture in *folder*, then of those in its shards, as the system lists them."""
    shards = []
    with folder.entries() as entries:
        for entry in entries:
            if is_shard(entry.name):
                shards.append(entry.name)
            elif (contact := contact_in_name(entry.name)) is not None and _is_file(folder, entry, entry.name):
                yield contact, entry.name
    for within in shards:
        with folder.entries(within) as entries:
            for entry in entries:
                path = f"{within}/{entry.name}"
                if (contact := contact_in_name(entry.name)) is not None and _is_file(folder, entry, path):
                    yield contact, path


def links_in(folder: OpenFolder, within: str = "") -> list[str]:
    """Return the paths of the links called like pictures in *folder*, or in its shard *within*, and of all shards."""
    prefix = within and f"{within}/"
    with folder.entries(within) as entries:
        return [
            f"{prefix}{entry.name}"
            for entry in entries
            if (entry.is_symlink() and contact_in_name(entry.name) is not None) or (not within and is_shard(entry.name))
        ]


def _is_file(folder: OpenFolder, entry: os.DirEntry[str], path: str) -> bool:
    if not entry.is_symlink():
        return entry.is_file()
    status = folder.status(path)
    return status is not None and stat.S_ISREG(status.st_mode)
