"""A PNG taken apart, from its bytes alone: what a reader needs of it, each chunk checked. Knows no Pillow.

The rules are those of the PNG specification (third edition). An ancillary chunk that breaks one of them is passed over:
its checksum, length, place or content is wrong, or an earlier one of its type is usable. A critical chunk that breaks
one makes the file corrupt. The checksums of the pixels are not looked at: zlib has one of its own for them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from service.errors import Unrenderable
from service.imaging.containers.cicp import CodePoints
from service.imaging.containers.png.chunks import SIGNATURE, Chunk, Span, ancillary, chunks, sound, written
from service.imaging.containers.png.film import Film, film
from service.imaging.containers.png.values import ExifBlock, code_points, icc_profile
from service.imaging.failures import corrupt, unsupported

_HEADER = struct.Struct(">IIBBBBB")
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""The bits per channel that are legal, by colour type (table 8)."""
_GREY, _RGB, _PALETTE = 0, 2, 3
_KEY_BYTES = {_GREY: 2, _RGB: 6}
_MOVING = frozenset((b"acTL", b"fcTL", b"fdAT", b"IDAT"))
_CRITICAL = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_EARLY = frozenset((b"iCCP", b"cICP"))
"""Chunks that stand before the palette and the pixels (table 7)."""


@dataclass(frozen=True, slots=True)
class Header:
    """What IHDR says. `of` raises `Unrenderable` for what is not legal."""

    width: int
    height: int
    depth: int
    colour: int
    """The colour type: 0 grey, 2 RGB, 3 a palette, 4 grey with alpha, 6 RGB with alpha."""
    interlace: int

    @classmethod
    def of(cls, content: bytes) -> Header:
        """The header with that *content*."""
        if len(content) != _HEADER.size:
            raise corrupt()
        width, height, depth, colour, compression, filters, interlace = _HEADER.unpack(content)
        if depth not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
            raise corrupt()
        return cls(width, height, depth, colour, interlace)

    def resized(self, width: int, height: int) -> bytes:
        """The content of an IHDR that says another size."""
        return _HEADER.pack(width, height, self.depth, self.colour, 0, 0, self.interlace)


@dataclass(frozen=True, slots=True)
class Png:
    """What a reader needs of the file *data*. Empty bytes or None stand for what is not there, or unusable."""

    data: bytes
    header: Header
    palette: bytes
    transparency: bytes
    pixels: tuple[Span, ...]
    """The contents of the IDAT chunks."""
    film: Film | None
    code_points: CodePoints | None
    profile: bytes
    """An ICC profile. Empty beside code points, which take precedence (4.3)."""
    exif: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.header.width, self.header.height

    @property
    def key(self) -> tuple[int, ...]:
        """The grey or the colour that is transparent, if any: scaled to 8 bits, or in 16 where the pixels have them."""
        if self.header.colour == _PALETTE:
            return ()
        depth = self.header.depth
        most = (1 << depth) - 1
        stored = struct.unpack(f">{len(self.transparency) // 2}H", self.transparency)
        values = (value & most for value in stored)  # only the lowest bits count (11.3.1.1)
        return tuple(value * 255 // most for value in values) if depth < 8 else tuple(values)

    def opening(self, width: int, height: int) -> bytes:
        """A PNG of that size as far as its pixels, of which it has none."""
        parts = [SIGNATURE, written(b"IHDR", self.header.resized(width, height))]
        if self.header.colour == _PALETTE:
            parts.append(written(b"PLTE", self.palette))
            if self.transparency:
                parts.append(written(b"tRNS", self.transparency))
        return b"".join((*parts, written(b"IDAT", b"")))


def allows_key(colour: int, entries: int, length: int) -> bool:
    """Whether tRNS may be so long, beside a palette of so many *entries* (11.3.1.1)."""
    return 0 < length <= entries if colour == _PALETTE else length == _KEY_BYTES.get(colour)


def read(data: bytes, most_frames: int) -> Png:
    """Walk through *data* once. The frames of an animation that promises more than *most_frames* are not looked at.

    Raises:
        Unrenderable: a critical chunk is missing, not legal or not known, a length leads astray, or there are too many
            chunks.
    """
    walk = _Walk(data)
    last: Chunk | None = None
    for last in chunks(data):
        walk.take(last)
    if last and last.kind != b"IEND" and last.end + 12 <= len(data) and not sound(data, last):
        raise corrupt()  # its length leads to where no chunk begins
    return walk.finished(most_frames)


class _Walk:
    """What the chunks so far hold."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._header: Header | None = None
        self._palette: bytes | None = None
        self._pixels: list[Span] = []
        self._moving: list[Chunk] = []
        self._kept: dict[bytes, bytes] = {}
        self._exif = ExifBlock()

    def take(self, found: Chunk) -> None:
        """Look at the next chunk. Raises `Unrenderable`."""
        kind, begin, end = found
        if end > len(self._data):
            raise corrupt()
        if self._header is None:
            if kind == b"IHDR" and sound(self._data, found):
                self._header = Header.of(self._data[begin:end])
            elif not ancillary(kind):
                raise self._refused(found)  # such as Apple's CgBI
        elif kind in _MOVING:
            self._moving.append(found)
            if kind == b"IDAT":
                self._pixels.append((begin, end))
        elif kind == b"PLTE":
            self._take_palette(found, self._header)
        elif ancillary(kind):
            self._take_ancillary(found, self._header)
        elif kind != b"IEND":
            raise self._refused(found)

    def _refused(self, found: Chunk) -> Unrenderable:
        """What is wrong with a critical chunk: it is not known, or it is damaged or out of place."""
        kind = found[0]
        if kind in _CRITICAL or not sound(self._data, found):
            return corrupt()
        return unsupported(f"PNG ({kind.decode('ascii')})")

    def _take_palette(self, found: Chunk, header: Header) -> None:
        """Where the colour type does not call for a palette, it is a suggestion (11.2.2)."""
        _, begin, end = found
        palette = self._data[begin:end]
        if self._palette is not None:
            raise corrupt()
        if header.colour == _PALETTE:
            if not palette or len(palette) % 3 or self._pixels or not sound(self._data, found):
                raise corrupt()
            palette = palette[: 3 << header.depth]
        self._palette = palette

    def _take_ancillary(self, found: Chunk, header: Header) -> None:
        kind, begin, end = found
        if kind in _EARLY:
            wanted = self._palette is None
        else:
            wanted = kind == b"tRNS" and allows_key(header.colour, len(self._palette or b"") // 3, end - begin)
        if wanted and not self._pixels and kind not in self._kept and sound(self._data, found):
            self._kept[kind] = self._data[begin:end]
        elif ExifBlock.may_be_in(self._data, found):
            self._exif.take(self._data, found)

    def finished(self, most_frames: int) -> Png:
        """All of it. Raises `Unrenderable`."""
        header, palette, kept, data = self._header, self._palette or b"", self._kept, self._data
        if header is None or not self._pixels or (header.colour == _PALETTE and not palette):
            raise corrupt()
        size = header.width, header.height
        points = code_points(kept.get(b"cICP", b""))
        return Png(
            data,
            header,
            palette,
            kept.get(b"tRNS", b""),
            tuple(self._pixels),
            film(data, self._moving, size, most_frames),
            points,
            b"" if points else icc_profile(kept.get(b"iCCP", b"")),
            self._exif.content,
        )
