"""The first directory of a TIFF or BigTIFF, from the bytes alone. Never follows an offset further, knows no Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from service.imaging.containers.window import Bytes

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How either begins, in either byte order; `+` is BigTIFF's."""

_SIZES, _LONG = {1: 1, 3: 2, 16: 8}, 4
"""Bytes of a value by its type (BYTE, SHORT, LONG8); every other type is taken for LONG."""

_COMPRESSIONS = {
    9: "JBIG", 10: "JBIG", 32766: "NeXT", 32809: "ThunderScan", 32908: "Pixar", 32909: "Pixar", 32947: "DCS",
    34661: "JBIG", 34676: "SGILog", 34677: "SGILog", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG of DNG",
    34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""By the value of tag 259: those that are not read here."""
_PHOTOMETRICS = {
    0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab",
    10: "ITULab", 32803: "CFA", 32844: "LogL", 32845: "LogLuv", 34892: "LinearRaw",
}  # fmt: skip
"""By the value of tag 262."""
_PRIVATE = 32_768
"""Values from here on are private (TIFF 6.0, section 8); a lower one without a name is invalid."""
_DEPTHS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32, 64)
"""Bits of a sample in real files."""


def compression_name(value: int) -> str | None:
    """The usual name of the compression of that *value*, or None for an invalid value."""
    return _COMPRESSIONS.get(value) or _private("compression", value)


def pixel_name(photometric: int, bits: int) -> str | None:
    """A name for pixels of that photometric interpretation and *bits* a sample, or None for invalid values."""
    name = _PHOTOMETRICS.get(photometric) or _private("photometric", photometric)
    return f"{bits}-bit {name}" if name and bits in _DEPTHS else None


def _private(tag: str, value: int) -> str | None:
    return f"{tag} {value}" if _PRIVATE <= value < 65_536 else None


@dataclass(frozen=True, slots=True)
class Tag:
    """An entry of the directory; *value* is its first one, where that is a number.

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

    def first(self, tag: Tag) -> int:
        """The first value of a *tag* of numbers, which lies elsewhere if they are too many for the entry."""
        size = _SIZES.get(tag.type, _LONG)
        return tag.value if size * tag.count <= self._word else self._number(tag.offset, size)

    @property
    def end(self) -> int:
        """Where the last entry ends, be it within the data or not."""
        return self.start + self.entries * self._room

    def tags(self, most: int) -> Iterator[Tag]:
        """The entries that are wholly there, *most* of them at most."""
        last = min(self.end, self.start + most * self._room, len(self.data))
        for at in range(self.start, last - self._room + 1, self._room):
            kind = self._number(at + 2, 2)
            count, value = self._number(at + 4, self._word), at + 4 + self._word
            first = self._number(value, min(_LONG, _SIZES.get(kind, _LONG)))
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
