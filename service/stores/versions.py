"""What a file's version is, and whether a file stayed the same while it was read.

The version is the same on every server that holds the same file with the same times: size, modification time in
nanoseconds, and a digest of the first bytes. Device, inode and change time differ between servers, and change when a
backup is restored; they are compared on one open file alone, before a read and after it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

from service.pictures.values import OriginalChanged
from service.stores.describe import HEAD_BYTES

T = TypeVar("T")

_TRIES = 3
"""Reads of a file that changes meanwhile. A new link to it also changes its change time, once."""


def version(status: os.stat_result, data: bytes) -> str:
    """The version of a file with that *status* that begins with *data*."""
    digest = sha256(memoryview(data)[:HEAD_BYTES]).hexdigest()  # in hardware where blake2 is not: a third of the time
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{digest[:24]}"


def identity(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """Values of which at least one differs after every change of a file, on this host."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def steady(file: int, read: Callable[[os.stat_result], T]) -> tuple[os.stat_result, T, bool]:
    """The status of the open *file*, what *read* returns with it, and whether the file was the same afterwards.

    Where it was not, *read* is called again, a few times.
    """
    before = os.fstat(file)
    for _ in range(_TRIES):
        made = read(before)
        after = os.fstat(file)
        if identity(after) == identity(before):
            return before, made, True
        before, last = after, (before, made, False)
    return last


def verified(file: int, expected: str) -> tuple[int, int, int, int, int]:
    """The identity of the open *file*, whose version is the *expected* one. Raises `OriginalChanged`."""
    status, head, same = steady(file, lambda status: read_at(file, 0, min(HEAD_BYTES, status.st_size)))
    if not same or version(status, head) != expected:
        raise OriginalChanged
    return identity(status)


def read_at(file: int, begin: int, size: int) -> bytes:
    """*size* bytes of the open *file* from *begin* on, fewer where it ends."""
    data = os.pread(file, size, begin)
    while len(data) < size and (more := os.pread(file, size - len(data), begin + len(data))):
        data += more  # file systems on the network may give less than there is
    return data
