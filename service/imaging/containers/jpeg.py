"""The segments of a JPEG (ITU-T T.81, annex B). This module does not import Pillow.

A malformed application segment is passed over: it is never a reason to refuse a picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from service.errors import Unrenderable
from service.imaging.containers import exif
from service.imaging.containers.container import Container, turned
from service.imaging.containers.window import Bytes
from service.imaging.errors import corrupt, too_much_work, unsupported
from service.imaging.geometry import Size

SOI, EOI, SOS, COM = 0xD8, 0xD9, 0xDA, 0xFE
APP0, APP15 = 0xE0, 0xEF
_DHT, _JPG, _DAC, _DHP, _EXP, _JPEG_LS = 0xC4, 0xC8, 0xCC, 0xDE, 0xDF, 0xF7
_APP1, _APP2 = 0xE1, 0xE2
"""Markers (T.81, table B.1), as the constants before."""
_FRAMES = frozenset({*range(0xC0, 0xD0), _DHP, _EXP, _JPEG_LS}) - {_DHT, _JPG, _DAC}
"""Markers of frame headers, and of processes that are not read."""
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_HIERARCHICAL = frozenset({0xC5, 0xC6, 0xCD, 0xCE, _DHP, _EXP})
_COMPONENTS = (1, 3, 4)
"""Numbers of components: grey, colour and inks."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
"""A marker that is no restart marker and no TEM. Stuffed bytes and fill bytes do not match."""
_SEARCHED = 4096
"""Bytes that are searched for a marker in one step."""
_MAX_SEGMENTS = 10_000
"""Segments that are walked, in about 10 ms. 32 MiB of metadata take 512."""
_PROFILE = b"ICC_PROFILE\0"
_TIFF = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0")
"""The first bytes of a block of Exif after its prefix. Some cameras write the number in the other byte order."""
_MAX_EXIF = 4_194_304
"""Bytes of Exif in all segments together. Segments beyond are passed over."""
_NEEDED = {APP0: (b"JFIF\0", 14), _APP2: (_PROFILE, 14), 0xEE: (b"Adobe", 12)}
"""Application segments that a decoder needs, by marker: their first bytes, and their smallest length in bytes."""


class Segment(NamedTuple):
    """A *marker* at *begin*, and its parameters from *start* to *end*. *end* may be after the data."""

    marker: int
    begin: int
    start: int
    end: int


def segments(data: Bytes, at: int = 2) -> Iterator[Segment]:
    """Yield the segments from *at* on. Entropy-coded data are passed over.

    Raises:
        Unrenderable: there are too many segments.
    """
    for _ in range(_MAX_SEGMENTS):
        head = data[at : at + 4]
        if not _MARKER.match(head):  # the segments of a header mostly follow one another
            at = _next_marker(data, at)
            head = data[at : at + 4]
        if not head:
            return
        marker, begin, start = head[1], at, at + 2
        if marker in (SOI, EOI):
            yield Segment(marker, begin, start, start)
            at = start
            continue
        at = start + max(2, int.from_bytes(head[2:], "big"))
        yield Segment(marker, begin, start + 2, at)
    raise too_much_work()


def _next_marker(data: Bytes, at: int) -> int:
    """Return where the next marker begins, from *at* on; the length of *data* if there is none."""
    while piece := data[at : at + _SEARCHED]:
        if found := _MARKER.search(piece):
            return at + found.start()
        at += len(piece) - (piece[-1] == 0xFF and len(piece) > 1)
    return len(data)


class Component(NamedTuple):
    """A component of the frame: its identifier, and its blocks *across* and *down* in a minimum coded unit."""

    identifier: int
    across: int
    down: int


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """A frame header, whose marker is at *begin*. *size* is the width and height in pixels."""

    begin: int
    process: int
    size: Size
    components: tuple[Component, ...]

    @classmethod
    def of(cls, data: Bytes, segment: Segment) -> FrameHeader:
        """Return the frame header in *segment*. Raise `Unrenderable`."""
        process, body = segment.marker, data[segment.start : segment.end]
        _check_process(process, body, "JPEG")
        if len(body) < 6 or len(body) != 6 + 3 * body[5]:
            raise corrupt()
        precision, count = body[0], body[5]
        if precision != 8:
            raise corrupt()
        if count not in _COMPONENTS:
            raise unsupported(f"JPEG ({count} components)")
        height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        if width and not height:
            raise unsupported("JPEG (DNL)")  # the height follows the first scan, as in files of old scanners
        components = tuple(Component(body[at], body[at + 1] >> 4, body[at + 1] & 15) for at in range(6, len(body), 3))
        if any(not each.across or not each.down for each in components):
            raise corrupt()
        return cls(segment.begin, process, (width, height), components)

    @property
    def progressive(self) -> bool:
        """Whether the coefficients are in several scans."""
        return self.process in _PROGRESSIVE

    @property
    def rows(self) -> int:
        """Pixels of the height of one row of blocks (T.81, A.2.2 and A.2.3)."""
        return 8 * max(each.down for each in self.components) if len(self.components) > 1 else 8

    @property
    def coefficient_bytes(self) -> float:
        """Bytes per pixel of all coefficients, with two bytes for each sample."""
        unit = max(each.across for each in self.components) * max(each.down for each in self.components)
        return 2 * sum(each.across * each.down for each in self.components) / unit


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The segments before the first scan, whose data begin at *scan*. *exif* begins with its prefix, or is empty."""

    frame: FrameHeader
    scan: int
    several_scans: bool
    exif: bytes
    profile: bytes | None

    @classmethod
    def of(cls, data: Bytes, *, with_profile: bool = True) -> JpegHeader:
        """Return the header of *data*. Raise `Unrenderable`."""
        frame, block, profile, size = None, _Exif(), _Profile(), len(data)
        for segment in segments(data):
            marker, _, start, end = segment
            if marker in (SOI, EOI) or end > size:
                raise corrupt()
            if marker in _FRAMES:
                if frame is not None:
                    raise corrupt()
                frame = FrameHeader.of(data, segment)
            elif marker == _APP1 and data[start : min(end, start + len(exif.PREFIX))] == exif.PREFIX:
                block.add(data[start + len(exif.PREFIX) : end])
            elif marker == _APP2 and with_profile and data[start : min(end, start + len(_PROFILE))] == _PROFILE:
                profile.add(data[start + len(_PROFILE) : end])
            elif marker == SOS:
                count = data[start : min(end, start + 1)]
                if frame is None or not count:
                    raise corrupt()
                several = frame.progressive or count[0] < len(frame.components)
                return cls(frame, end, several, block.whole, profile.whole)
        raise corrupt()


def check_process(data: bytes, at: int, name: str) -> None:
    """Raise `Unsupported` when the JPEG at *at* in the *data* of a *name* is coded by a process that is not read."""
    if data[at : at + 2] != b"\xff\xd8":
        return
    for marker, _, start, end in segments(data, at + 2):
        if marker in _FRAMES:
            _check_process(marker, data[start:end], name)
        if marker in (*_FRAMES, EOI, SOS):
            return


def _check_process(process: int, body: bytes, name: str) -> None:
    if process in _LOSSLESS:
        raise unsupported(f"{name} (lossless)")
    if process in _HIERARCHICAL:
        raise unsupported(f"{name} (hierarchical)")
    if process == _JPEG_LS:
        raise unsupported("JPEG-LS")
    if body[:1] == b"\x0c":
        raise unsupported(f"{name} (12 bits)")


class _Exif:
    """A block of Exif in one or more segments. A segment has at most 64 KiB, and some cameras write more."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def add(self, part: bytes) -> None:
        if (self._parts or part.startswith(_TIFF)) and self._bytes + len(part) <= _MAX_EXIF:
            self._parts.append(part)
            self._bytes += len(part)

    @property
    def whole(self) -> bytes:
        return b"".join([exif.PREFIX, *self._parts]) if self._parts else b""


class _Profile:
    """A profile in numbered parts (ICC.1:2022, annex B.4). There is none if a part is missing, repeated or wrong."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, int, bytes]] = []

    def add(self, part: bytes) -> None:
        if len(part) >= 2:  # its number and the number of parts
            self._parts.append((part[0], part[1], part[2:]))

    @property
    def whole(self) -> bytes | None:
        parts = sorted(self._parts)
        numbered = [(number, len(parts)) for number in range(1, len(parts) + 1)]
        if not parts or [(number, count) for number, count, _ in parts] != numbered:
            return None
        return b"".join(part for _, _, part in parts)


def all_scans(data: bytes, frame: FrameHeader) -> bool:
    """Return whether the scans of *data*, which has no end marker, hold every bit of every coefficient.

    A scan counts even if its data are cut off (T.81, B.2.3 and G.1.1.1).
    """
    missing = {each.identifier: [1] * 64 for each in frame.components}
    for marker, _, start, end in segments(data):
        body = data[start:end]
        if marker != SOS or not body or len(body) != 4 + 2 * body[0]:
            continue
        first, last, shift = body[-3], min(63, body[-2]), body[-1] & 15
        for identifier in body[1:-3:2]:
            if not frame.progressive:
                missing.pop(identifier, None)
            elif identifier in missing:
                missing[identifier][first : last + 1] = [shift] * (last + 1 - first)
    return not any(map(any, missing.values()))


def _matches(head: bytes) -> bool:
    return head.startswith(b"\xff\xd8\xff")


def _upright_size(data: Bytes) -> Size | None:
    try:
        header = JpegHeader.of(data, with_profile=False)
    except Unrenderable:
        return None  # the reader raises this too
    return turned(header.frame.size, exif.orientation(header.exif))


def _check(data: bytes, max_pixels: int) -> float:
    """Return the bytes per pixel of the coefficients that libjpeg holds: all of them if there are several scans."""
    header = JpegHeader.of(data)
    return header.frame.coefficient_bytes if header.several_scans else 0.0


def _stripped(data: bytes, turn: int, most_frames: int) -> bytes:
    """Return the first picture. Another picture (MPO), a video or other data may follow it."""
    kept, coded = [b"\xff\xd8"], 0
    for marker, begin, start, end in segments(data):
        if coded:
            kept.append(data[coded:begin])
        if marker == EOI:
            break
        coded = end if marker == SOS else 0
        if end <= len(data) and _is_needed(marker, data[start:end]):
            kept.append(data[begin:end])
    else:  # the end marker is missing
        kept.append(data[coded:] if coded else b"")
    if block := exif.block_of(turn):
        first = 2 if kept[1].startswith(b"\xff\xe0") else 1  # JFIF comes first
        content = exif.PREFIX + block
        kept.insert(first, b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content)
    return b"".join([*kept, b"\xff\xd9"])


def _is_needed(marker: int, body: bytes) -> bool:
    if marker in _NEEDED:
        begins, least = _NEEDED[marker]
        return body.startswith(begins) and len(body) >= least
    return not (APP0 <= marker <= APP15 or marker == COM)


CONTAINER = Container(_matches, _upright_size, check=_check, stripped=_stripped)
