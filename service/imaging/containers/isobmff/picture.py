"""The size, clean aperture, rotation, colour and plays of the picture that an AVIF or HEIC shows.

This module does not import Pillow: a store reads the size of every original. ISO/IEC 23008-12 defines items, ISO/IEC
14496-12 tracks. The transformations of an item are applied in the order of MIAF (ISO/IEC 23000-22, 7.3.6.7), and not
in the order in which they are listed: clean aperture, rotation, mirror.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from service.errors import Unrenderable
from service.imaging.containers.av1 import code_points
from service.imaging.containers.cicp import CodePoints
from service.imaging.containers.isobmff.boxes import MAX_STEPS, Box, Steps, boxes, number
from service.imaging.containers.isobmff.items import located, samples
from service.imaging.containers.window import Bytes
from service.imaging.geometry import Size

Crop = tuple[int, int, int, int]
"""Pixels of the left, top, right and bottom edges."""

_STILL, _SEQUENCE = b"avif", b"avis"
"""Major brands that decide whether the item or the track is shown. With any other brand, libavif prefers a track."""
_ENTRY_FIELDS = 78
"""Bytes of a visual sample entry before its boxes (ISO/IEC 14496-12, 12.1.3)."""
_SRGB = 13
"""The transfer characteristics of sRGB (ITU-T H.273, table 3)."""
_SHOWN_AS_SRGB = (1, 2, 6, 14, 15)
"""Other transfer characteristics that browsers show as sRGB in AVIF. In PNG they differ."""
_APERTURE = struct.Struct(">4IiIiI")
"""Width, height, and the offsets of the centre to the right and down, each as a numerator and a denominator."""
_FEW_STEPS = 5_000
"""Boxes and entries that are read if only the size is needed."""
_START = 1024
"""Bytes at the start of a coded picture that contain its sequence header."""
_FOR_EVER = {4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}
"""The value of an endless duration, by the bytes of its field."""


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """The primary item of a file or its colour track: the one that libavif shows."""

    size: Size
    """The width and height in pixels as coded."""
    aperture: Crop | None = None
    """The part that is shown, if it is not the whole picture."""
    quarters: int = 0
    """Quarter turns counter-clockwise."""
    code_points: CodePoints | None = None
    plays: int = 0
    """The number of times that a track is played; 0 is for ever."""
    passed_over: int | None = None
    """The position in the file of a clean aperture that is not applied, in bytes."""

    @property
    def colour(self) -> CodePoints | None:
        """The code points as browsers use them in AVIF: curves of television and unspecified ones become sRGB's."""
        if self.code_points is None or self.code_points.transfer not in _SHOWN_AS_SRGB:
            return self.code_points
        return self.code_points._replace(transfer=_SRGB)

    @property
    def upright(self) -> Size:
        """The width and height in pixels of the shown part, turned upright."""
        left, top, right, bottom = self.aperture or (0, 0, *self.size)
        across, down = right - left, bottom - top
        return (down, across) if self.quarters % 2 else (across, down)


def upright_size(data: Bytes) -> Size | None:
    """Return the width and height in pixels of the upright picture, or None if the boxes do not give them."""
    try:
        found = shown_picture(data, _FEW_STEPS)
    except Unrenderable:
        return None  # the reader raises this too
    return found.upright if found and min(found.upright) > 0 else None


def shown_picture(data: Bytes, most: int = MAX_STEPS) -> ShownPicture | None:
    """Return the picture that is shown, or None if it has no size.

    Raises:
        Unrenderable: there are more than *most* boxes and entries.
    """
    steps = Steps(most)
    major, meta = data[8:12], None
    for box in boxes(data, 0, len(data), steps):
        if box.kind == b"moov" and major != _STILL and (track := _track(data, box, steps)):
            return track
        if box.kind == b"meta" and major == _STILL:
            return _item(data, box, steps)
        meta = meta or (box if box.kind == b"meta" else None)
    return _item(data, meta, steps) if meta and major != _SEQUENCE else None


def with_whole_aperture(data: bytes, found: ShownPicture) -> bytes:
    """Return *data* with the whole picture in place of a clean aperture that is not applied here, but by the reader."""
    if found.passed_over is None:
        return data
    whole = _APERTURE.pack(found.size[0], 1, found.size[1], 1, 0, 1, 0, 1)
    return data[: found.passed_over] + whole + data[found.passed_over + _APERTURE.size :]


def _child(data: Bytes, parent: Box | None, kind: bytes, steps: Steps, skip: int = 0) -> Box | None:
    """Return the first box of that *kind* in *parent*, whose boxes begin *skip* bytes after its start."""
    if parent is None:
        return None
    return next((box for box in boxes(data, parent.start + skip, parent.end, steps) if box.kind == kind), None)


def _item(data: Bytes, meta: Box, steps: Steps) -> ShownPicture | None:
    primary = _child(data, meta, b"pitm", steps, 4)
    holder = _child(data, meta, b"iprp", steps, 4)
    if primary is None or holder is None:
        return None
    item = number(data, primary.start + 4, 4 if data[primary.start : primary.start + 1] == b"\1" else 2)
    container = _child(data, holder, b"ipco", steps)
    every = list(boxes(data, container.start, container.end, steps)) if container else []
    properties = [every[index - 1] for index in _associated(data, holder, item, steps) if 0 < index <= len(every)]
    size = next((_size(data, box.start + 4) for box in properties if box.kind == b"ispe"), None)
    if size is None:
        return None
    colour = _nclx(data, properties)
    if any(box.kind == b"av1C" for box in every):
        colour = colour or code_points(_coded(data, meta, item, steps))
    elif not _in_order([box.kind for box in properties]):
        return None  # libheif applies them in the order in which they are listed
    return _picture(data, properties, size, colour)


def _in_order(kinds: list[bytes]) -> bool:
    """Return whether no clean aperture is listed after a rotation."""
    return b"irot" not in kinds or b"clap" not in kinds[kinds.index(b"irot") :]


def _picture(data: Bytes, properties: list[Box], size: Size, colour: CodePoints | None, plays: int = 0) -> ShownPicture:
    turn = next((number(data, box.start, 1) & 3 for box in properties if box.kind == b"irot"), 0)
    clap = next((box for box in properties if box.kind == b"clap" and box.end - box.start >= _APERTURE.size), None)
    aperture = _aperture(data, clap, size) if clap else None
    return ShownPicture(size, aperture, turn, colour, plays, clap.start if clap and aperture is None else None)


def _size(data: Bytes, at: int) -> Size:
    return number(data, at, 4), number(data, at + 4, 4)


def _associated(data: Bytes, holder: Box, item: int, steps: Steps) -> Iterator[int]:
    """Yield the numbers of the properties of *item*, counted from 1 (ISO/IEC 23008-12, 9.3.2)."""
    for box in boxes(data, holder.start, holder.end, steps):
        if box.kind != b"ipma":
            continue
        wide = 2 if number(data, box.start, 1) == 0 else 4
        large = number(data, box.start + 3, 1) & 1
        at = box.start + 8
        for _ in range(number(data, box.start + 4, 4)):
            if at >= box.end:
                break
            steps.take()
            owner, count = number(data, at, wide), number(data, at + wide, 1)
            at += wide + 1
            if owner == item:
                steps.take(count)
                for place in range(count):
                    yield number(data, at + 2 * place, 2) & 0x7FFF if large else number(data, at + place, 1) & 0x7F
            at += count * (1 + large)


def _nclx(data: Bytes, properties: list[Box]) -> CodePoints | None:
    for box in properties:
        if box.kind == b"colr" and data[box.start : box.start + 4] == b"nclx" and box.end - box.start >= 11:
            primaries, transfer, matrix = (number(data, box.start + at, 2) for at in (4, 6, 8))
            return CodePoints(primaries, transfer, matrix, number(data, box.start + 10, 1) >> 7)
    return None


def _aperture(data: Bytes, box: Box, size: Size) -> Crop | None:
    """Return the part of a picture of *size* within the clean aperture in *box* (ISO/IEC 14496-12, 12.1.4.1).

    None means the whole picture, or an aperture that is not made of whole pixels within the picture.
    """
    fields = _APERTURE.unpack(data[box.start : box.start + _APERTURE.size].ljust(_APERTURE.size, b"\0"))
    sides: list[tuple[int, int]] = []
    for side, length, unit, move, per in zip(
        size, fields[0:4:2], fields[1:4:2], fields[4::2], fields[5::2], strict=True
    ):
        if not unit or not per:
            return None
        extent = Fraction(length, unit)
        first = Fraction(move, per) + (side - extent) / 2
        if extent.denominator != 1 or first.denominator != 1 or extent < 1 or first < 0 or first + extent > side:
            return None
        sides.append((int(first), int(first + extent)))
    (left, right), (top, bottom) = sides
    return (left, top, right, bottom) if (right - left, bottom - top) != size else None


def _coded(data: Bytes, meta: Box, item: int, steps: Steps) -> bytes:
    """Return the first bytes of *item*, or of its first tile if it is a grid."""
    references = _child(data, meta, b"iref", steps, 4)
    if references is not None:
        wide = 2 if number(data, references.start, 1) == 0 else 4
        for box in boxes(data, references.start + 4, references.end, steps):
            if box.kind == b"dimg" and number(data, box.start, wide) == item:
                item = number(data, box.start + wide + 2, wide)
                break
    start, end = next((each[0] for at, each in located(data, meta, steps) if at == item and each), (0, 0))
    return data[start : min(end, start + _START)]


def _track(data: Bytes, moov: Box, steps: Steps) -> ShownPicture | None:
    """Return the first track that is not auxiliary to another, such as its transparency."""
    for box in boxes(data, moov.start, moov.end, steps):
        if box.kind != b"trak" or _child(data, _child(data, box, b"tref", steps), b"auxl", steps):
            continue
        head = _child(data, box, b"tkhd", steps)
        table = _table(data, box, steps)
        described = table.get(b"stsd")
        entry = _child(data, described, b"av01", steps, 8)
        if head is None or entry is None:
            continue
        version = number(data, head.start, 1)
        at = head.start + (88 if version == 1 else 76)
        size = number(data, at, 2), number(data, at + 4, 2)  # of 16.16 bits
        properties = list(boxes(data, entry.start + _ENTRY_FIELDS, entry.end, steps))
        colour = _nclx(data, properties) or code_points(next(samples(data, table, b"av01", 1, steps), b""))
        return _picture(data, properties, size, colour, _plays(data, box, head, steps))
    return None


def _table(data: Bytes, track: Box, steps: Steps) -> dict[bytes, Box]:
    holder: Box | None = track
    for kind in (b"mdia", b"minf", b"stbl"):
        holder = _child(data, holder, kind, steps)
    return {box.kind: box for box in boxes(data, holder.start, holder.end, steps)} if holder else {}


def _plays(data: Bytes, track: Box, head: Box, steps: Steps) -> int:
    """Return the number of plays: the duration of the track divided by that of its edit (ISO/IEC 14496-12, 8.6.6)."""
    edits = _child(data, _child(data, track, b"edts", steps), b"elst", steps)
    if edits is None:
        return 0
    if not number(data, edits.start + 3, 1) & 1:
        return 1
    wide = 8 if number(data, head.start, 1) == 1 else 4
    whole = number(data, head.start + (28 if wide == 8 else 20), wide)
    once = number(data, edits.start + 8, 8 if number(data, edits.start, 1) == 1 else 4)
    return 0 if whole == _FOR_EVER[wide] or not once else max(1, -(-whole // once))
