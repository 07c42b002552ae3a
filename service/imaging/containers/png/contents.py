"""The chunks of a PNG that a reader needs, each of them checked. This module does not import Pillow.

An ancillary chunk that breaks a rule of the specification is passed over: its checksum, length, place or content is
wrong, or an earlier one of its type is usable. A critical chunk that breaks a rule makes the file corrupt. The
checksums of the pixels are not compared: the zlib stream has a checksum of its own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from service.errors import Unrenderable
from service.imaging.containers.cicp import CodePoints
from service.imaging.containers.png.animation import ApngAnimation, animation
from service.imaging.containers.png.chunks import SIGNATURE, Chunk, Span, ancillary, chunks, sound, written
from service.imaging.containers.png.values import ExifBlock, code_points, icc_profile
from service.imaging.errors import corrupt, unsupported
from service.imaging.geometry import Size

_HEADER = struct.Struct(">IIBBBBB")
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Legal bits per channel, by colour type (table 8)."""
_GREY, _RGB, _PALETTE = 0, 2, 3
"""Colour types (table 8)."""
_KEY_BYTES = {_GREY: 2, _RGB: 6}
"""Bytes of a transparent colour, by colour type."""
_MOVING = frozenset((b"acTL", b"fcTL", b"fdAT", b"IDAT"))
_CRITICAL = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_EARLY = frozenset((b"iCCP", b"cICP"))
"""Types of chunks that precede the palette and the pixels (table 7)."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The fields of IHDR."""

    width: int
    height: int
    depth: int
    colour: int
    """The colour type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha."""
    interlace: int

    @classmethod
    def of(cls, content: bytes) -> ImageHeader:
        """Return the header with that *content*. Raise `Unrenderable` for values that are not legal."""
        if len(content) != _HEADER.size:
            raise corrupt()
        width, height, depth, colour, compression, filters, interlace = _HEADER.unpack(content)
        if depth not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
            raise corrupt()
        return cls(width, height, depth, colour, interlace)

    def resized(self, width: int, height: int) -> bytes:
        """Return the content of an IHDR with another size."""
        return _HEADER.pack(width, height, self.depth, self.colour, 0, 0, self.interlace)


@dataclass(frozen=True, slots=True)
class Png:
    """The parts of the file *data* that a reader needs. A part that is missing or not usable is empty or None."""

    data: bytes
    header: ImageHeader
    palette: bytes
    transparency: bytes
    pixels: tuple[Span, ...]
    """The contents of the IDAT chunks, in the file."""
    animation: ApngAnimation | None
    code_points: CodePoints | None
    profile: bytes
    """An ICC profile. It is empty if there are code points, which take precedence (4.3)."""
    exif: bytes

    @property
    def size(self) -> Size:
        """The width and height in pixels."""
        return self.header.width, self.header.height

    @property
    def key(self) -> tuple[int, ...]:
        """The transparent grey or colour, or an empty tuple. Values have 16 bits if the pixels do, else 8."""
        if self.header.colour == _PALETTE:
            return ()
        depth = self.header.depth
        most = (1 << depth) - 1
        stored = struct.unpack(f">{len(self.transparency) // 2}H", self.transparency)
        values = (value & most for value in stored)  # only the lowest bits count (11.3.1.1)
        return tuple(value * 255 // most for value in values) if depth < 8 else tuple(values)

    def opening(self, width: int, height: int) -> bytes:
        """Return the beginning of a PNG of that size, up to its pixels."""
        parts = [SIGNATURE, written(b"IHDR", self.header.resized(width, height))]
        if self.header.colour == _PALETTE:
            parts.append(written(b"PLTE", self.palette))
            if self.transparency:
                parts.append(written(b"tRNS", self.transparency))
        return b"".join((*parts, written(b"IDAT", b"")))


def allows_key(colour: int, entries: int, length: int) -> bool:
    """Return whether *length* is legal for tRNS, with a palette of that number of *entries* (11.3.1.1)."""
    return 0 < length <= entries if colour == _PALETTE else length == _KEY_BYTES.get(colour)


def read(data: bytes, most_frames: int) -> Png:
    """Return the parts of *data*, in one walk. More than *most_frames* promised frames are not examined.

    Raises:
        Unrenderable: a critical chunk is missing, not legal or not known, the length of a chunk is wrong, or there are
            too many chunks.
    """
    walk = _Walk(data)
    last: Chunk | None = None
    for last in chunks(data):
        walk.take(last)
    if last and last.kind != b"IEND" and last.end + 12 <= len(data) and not sound(data, last):
        raise corrupt()  # no chunk begins where this one ends
    return walk.finished(most_frames)


class _Walk:
    """The contents of the chunks that were read so far."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._header: ImageHeader | None = None
        self._palette: bytes | None = None
        self._pixels: list[Span] = []
        self._moving: list[Chunk] = []
        self._kept: dict[bytes, bytes] = {}
        self._exif = ExifBlock()

    def take(self, found: Chunk) -> None:
        """Read the next chunk. Raise `Unrenderable`."""
        kind, begin, end = found
        if end > len(self._data):
            raise corrupt()
        if self._header is None:
            if kind == b"IHDR" and sound(self._data, found):
                self._header = ImageHeader.of(self._data[begin:end])
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
        """Return the error for a critical chunk that is not known, damaged or out of place."""
        kind = found[0]
        if kind in _CRITICAL or not sound(self._data, found):
            return corrupt()
        return unsupported(f"PNG ({kind.decode('ascii')})")

    def _take_palette(self, found: Chunk, header: ImageHeader) -> None:
        """Keep the palette, which is only a suggestion for other colour types than 3 (11.2.2)."""
        _, begin, end = found
        palette = self._data[begin:end]
        if self._palette is not None:
            raise corrupt()
        if header.colour == _PALETTE:
            if not palette or len(palette) % 3 or self._pixels or not sound(self._data, found):
                raise corrupt()
            palette = palette[: 3 << header.depth]
        self._palette = palette

    def _take_ancillary(self, found: Chunk, header: ImageHeader) -> None:
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
        """Return all parts. Raise `Unrenderable`."""
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
            animation(data, self._moving, size, most_frames),
            points,
            b"" if points else icc_profile(kept.get(b"iCCP", b"")),
            self._exif.content,
        )
