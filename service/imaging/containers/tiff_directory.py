"""The entries of a TIFF directory. A block of EXIF has one too.

This module does not import Pillow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from service.imaging.containers.window import Bytes

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first bytes in either byte order; `+` is for BigTIFF."""
SHORT, LONG, LONG8 = 3, 4, 16
"""Types of values."""
_SIZES, _LONG_BYTES = {1: 1, SHORT: 2, LONG8: 8}, 4
"""Bytes of a value by its type. Every type that is not listed is read as LONG."""


@dataclass(frozen=True, slots=True)
class Tag:
    """An entry of the directory. *value* is its first value, if that is a number.

    *offset* is the position of the values if they do not fit into the entry.
    """

    number: int
    type: int
    count: int
    value: int
    offset: int


@dataclass(frozen=True, slots=True)
class Directory:
    """The first directory of *data*: a number of *entries* that begin at *start*."""

    data: Bytes
    order: Literal["little", "big"]
    big: bool
    start: int
    entries: int

    @classmethod
    def of(cls, data: Bytes) -> Directory | None:
        """Return the first directory of *data*, or None if the data end before the number of entries."""
        order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        big = data[2:4] in (b"+\0", b"\0+")
        at = int.from_bytes(data[8:16] if big else data[4:8], order)
        start = at + (8 if big else 2)
        if start > len(data):
            return None
        return cls(data, order, big, start, int.from_bytes(data[at:start], order))

    def first(self, tag: Tag) -> int:
        """Return the first value of a *tag* of numbers, from outside the entry if the values do not fit into it."""
        size = _SIZES.get(tag.type, _LONG_BYTES)
        return tag.value if size * tag.count <= self._word else self._number(tag.offset, size)

    @property
    def end(self) -> int:
        """Where the last entry ends, in the data or after them."""
        return self.start + self.entries * self._room

    def tags(self, most: int) -> Iterator[Tag]:
        """Yield the complete entries, at most *most*."""
        last = min(self.end, self.start + most * self._room, len(self.data))
        for at in range(self.start, last - self._room + 1, self._room):
            kind = self._number(at + 2, 2)
            count, value = self._number(at + 4, self._word), at + 4 + self._word
            first = self._number(value, min(_LONG_BYTES, _SIZES.get(kind, _LONG_BYTES)))
            yield Tag(self._number(at, 2), kind, count, first, self._number(value, self._word))

    @property
    def _word(self) -> int:
        """Bytes of a count and of an offset."""
        return 8 if self.big else 4

    @property
    def _room(self) -> int:
        """Bytes of an entry."""
        return 20 if self.big else 12

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self.data[at : at + size], self.order)
