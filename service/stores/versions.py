"""The version of a file, and whether the file changed while it was read.

A version has the size, the modification time in nanoseconds, and a digest of the first bytes. It is the same on every
server that holds the same file with the same times. Device, inode and change time differ between servers, and change
when a backup is restored. They are only compared on one open file, before and after a read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

from service.imaging.containers.window import HEAD_BYTES
from service.pictures.values import OriginalChanged
from service.system.open_file import FileIdentity, file_identity, read_at

T = TypeVar("T")

_TRIES = 3
"""Reads of a file that changes during the read. A new hard link also changes the change time, once."""


def version_of(status: os.stat_result, data: bytes) -> str:
    """Return the version of a file with this *status* that begins with *data*."""
    digest = sha256(memoryview(data)[:HEAD_BYTES]).hexdigest()  # processors have SHA-256: a third of blake2's time
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{digest[:24]}"


def picture_of(version: str) -> tuple[str, str]:
    """Return what copies of one picture have in common: the size, and the digest of the first bytes."""
    return version.partition("-")[0], version.rpartition("-")[2]


def read_unchanged(
    file: int, read: Callable[[os.stat_result], T], before: os.stat_result | None = None
) -> tuple[os.stat_result, T, FileIdentity | None]:
    """Return the status of the open *file*, the result of *read* with it, and its identity; None: the file changed.

    *before* is a status that it had, if one is known.

    When the file changed during the read, *read* is called again, at most `_TRIES` times in all.
    """
    before = before or os.fstat(file)
    for _ in range(_TRIES):
        result = read(before)
        after = os.fstat(file)
        if (identity := file_identity(after)) == file_identity(before):
            return before, result, identity
        before, last = after, (before, result, None)
    return last


def require_version(file: int, expected: str) -> FileIdentity:
    """Return the identity of the open *file*. Raise `OriginalChanged` unless it has the *expected* version."""
    status, head, identity = read_unchanged(file, lambda status: read_at(file, 0, min(HEAD_BYTES, status.st_size)))
    if identity is None or version_of(status, head) != expected:
        raise OriginalChanged
    return identity
