"""The bytes of a file, read where they are needed: a header may lie anywhere in it, and pictures are large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

HEAD_BYTES = 65_536
"""Bytes at the beginning of a file that hold nearly every picture's header."""


class Bytes(Protocol):
    """The bytes that a header is read from: `bytes` or a `Window`. A slice past the end is empty or shorter."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: slice, /) -> bytes: ...


_READS = 5_000
"""Reads of one file. A PNG of 32 MiB in chunks of 8 KiB takes 4,096."""
_BYTES = 8_388_608
"""Bytes that are read of one file after its head."""
_BLOCK = 1024
"""Bytes of the smallest read. The bytes that are needed next are mostly the following ones."""

_SLICES = 400
"""Slices of a header that is short to read. A usual one takes up to 100."""


class Window:
    """A file of *size* bytes that begins with *head*.

    *read* takes a position and a number of bytes, and returns these bytes. When the limits on reads are reached, slices
    are empty, as if the file had ended.
    """

    def __init__(self, head: bytes, size: int, read: Callable[[int, int], bytes]) -> None:
        self._head, self._size, self._read = head, size, read
        self._reads, self._bytes = _READS, _BYTES
        self._begin, self._block = 0, b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, at: slice, /) -> bytes:
        """Return the bytes of a slice that has no step and no negative ends."""
        begin, end = at.start or 0, self._size if at.stop is None else min(at.stop, self._size)
        if begin >= end:
            return b""
        if end <= len(self._head):
            return self._head[begin:end]
        if not self._begin <= begin <= end <= self._begin + len(self._block):
            much = min(max(end - begin, _BLOCK), self._size - begin)
            self._reads, self._bytes = self._reads - 1, self._bytes - much
            if self._reads < 0 or self._bytes < 0:
                return b""
            self._begin, self._block = begin, self._read(begin, much)
        return self._block[begin - self._begin : end - self._begin]


class Beginning:
    """The first bytes of a file of *size* bytes, which are *head*, for a header that is short to read.

    Raise BlockingIOError when more bytes are needed, or when `_SLICES` slices have been taken: a longer header may take
    milliseconds, and is read in a thread.
    """

    def __init__(self, head: bytes, size: int) -> None:
        self._head, self._size, self._left = head, size, _SLICES

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, at: slice, /) -> bytes:
        """Return the bytes of a slice that has no step and no negative ends."""
        self._left -= 1
        end = self._size if at.stop is None else min(at.stop, self._size)
        if self._left < 0 or end > len(self._head):
            raise BlockingIOError
        return self._head[at.start or 0 : end]
