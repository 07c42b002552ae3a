"""The first directory of a TIFF or BigTIFF, from the bytes alone. Never follows an offset further, knows no Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from service.imaging.headers.window import Bytes

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How either begins, in either byte order; `+` is BigTIFF's."""

_SIZES = {1: 1, 3: 2}
"""Bytes of a value by its type (BYTE, SHORT); every other that is asked for here is a LONG."""


@dataclass(frozen=True, slots=True)
class Tag:
    """An entry of the directory; *value* is its first one, where that is a number of at most four bytes.

    Where the values do not fit into the entry, *offset* is where they are.
    """

    number: int
    type: int
    count: int
    value: int
    offset: int


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the first directory's *entries* are: from *start* on, so many of them."""

    data: Bytes
    order: Literal["little", "big"]
    big: bool
    start: int
    entries: int

    @classmethod
    def of(cls, data: Bytes) -> Directory | None:
        """The first directory of *data*, or None if not even the number of its entries is there."""
        order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        big = data[2:4] in (b"+\0", b"\0+")
        at = int.from_bytes(data[8:16] if big else data[4:8], order)
        start = at + (8 if big else 2)
        if start > len(data):
            return None
        return cls(data, order, big, start, int.from_bytes(data[at:start], order))

    def first_short(self, tag: Tag) -> int:
        """The first value of a tag of SHORTs, which lies elsewhere if they are too many for the entry."""
        return tag.value if tag.count <= (4 if self.big else 2) else self._number(tag.offset, 2)

    @property
    def end(self) -> int:
        """Where the last entry ends, be it within the data or not."""
        return self.start + self.entries * self._room

    def tags(self, most: int) -> Iterator[Tag]:
        """The entries that are wholly there, *most* of them at most."""
        last = min(self.end, self.start + most * self._room, len(self.data))
        for at in range(self.start, last - self._room + 1, self._room):
            kind = self._number(at + 2, 2)
            value = at + (12 if self.big else 8)
            count = self._number(at + 4, 8 if self.big else 4)
            first, offset = self._number(value, _SIZES.get(kind, 4)), self._number(value, 8 if self.big else 4)
            yield Tag(self._number(at, 2), kind, count, first, offset)

    @property
    def _room(self) -> int:
        return 20 if self.big else 12

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self.data[at : at + size], self.order)
