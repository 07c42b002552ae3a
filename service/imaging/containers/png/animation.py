"""The frames of an animated PNG, from its chunks (section 11.3.3). This module does not import Pillow or inflate.

A PNG whose animation has a damaged chunk is a still picture.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.imaging.containers.png.chunks import Chunk, Span, sound
from service.imaging.errors import corrupt
from service.imaging.geometry import Size

_ANNOUNCEMENT = struct.Struct(">II")
"""The number of frames and the number of plays."""
_CONTROL = struct.Struct(">IIIIIHHBB")
"""The sequence number, width, height, left, top, delay and its unit, disposal and blending."""
_MOST = 0x7FFF_FFFF
"""The largest number in a PNG (7.1)."""


@dataclass(frozen=True, slots=True)
class ApngFrame:
    """A frame: its box on the canvas in pixels, its duration, and the numbers of its disposal and blending."""

    width: int
    height: int
    left: int
    top: int
    milliseconds: float
    disposal: int
    blending: int
    pixels: list[Span] = field(default_factory=list)
    """The parts of its zlib stream in the file."""


@dataclass(frozen=True, slots=True)
class ApngAnimation:
    """An animation whose header promises *promised* frames, and which is played *plays* times; 0 is for ever."""

    promised: int
    plays: int
    frames: Sequence[ApngFrame] = ()
    """The promised frames; empty if they are too many to be examined."""
    still_first: bool = False
    """Whether the pixels in IDAT are no frame, but a picture for readers that show no animation."""


class _DamagedError(Exception):
    """A chunk of the animation breaks a rule of the specification."""


def animation(data: bytes, chunks: list[Chunk], size: Size, most: int) -> ApngAnimation | None:
    """Return the animation in *chunks*, which have the types acTL, fcTL, fdAT and IDAT, on a canvas of *size*.

    None means that there is no animation or a damaged one. More than *most* promised frames are not examined.

    Raises:
        Unrenderable: there are pixels of promised frames, but no chunk with the box of a frame.
    """
    kinds = [kind for kind, _, _ in chunks]
    if b"acTL" not in kinds[: kinds.index(b"IDAT")]:
        return None
    try:
        promised, plays = _announced(data, chunks[kinds.index(b"acTL")], kinds.count(b"acTL"))
        if promised > most:
            return ApngAnimation(promised, plays)
        if b"fdAT" in kinds and b"fcTL" not in kinds:
            raise corrupt()
        frames = _Frames(data, size)
        for found in chunks:
            if found.kind == b"fcTL" and len(frames.frames) == promised:
                break
            frames.take(found)
        if len(frames.frames) < promised or not frames.frames[-1].pixels:
            return None
    except _DamagedError:
        return None
    return ApngAnimation(promised, plays, frames.frames, frames.still_first)


def _announced(data: bytes, found: Chunk, times: int) -> tuple[int, int]:
    """Return the numbers of frames and of plays."""
    _, begin, end = found
    if times > 1 or end - begin != _ANNOUNCEMENT.size or not sound(data, found):
        raise _DamagedError
    promised, plays = _ANNOUNCEMENT.unpack_from(data, begin)
    if not 0 < promised <= _MOST:
        raise _DamagedError
    return promised, min(plays, _MOST)


class _Frames:
    """The frames that were read so far."""

    def __init__(self, data: bytes, size: Size) -> None:
        self._data, self._size = data, size
        self._number = 0
        self._begun = False
        self.frames: list[ApngFrame] = []
        self.still_first = False

    def take(self, found: Chunk) -> None:
        """Read the next chunk. Raise `_DamagedError`."""
        kind, begin, end = found
        if kind == b"IDAT":
            self._first_pixels(begin, end)
        elif kind in (b"fcTL", b"fdAT"):
            number = int.from_bytes(self._data[begin : begin + 4], "big")
            if end - begin < 4 or number != self._number or not sound(self._data, found):
                raise _DamagedError
            self._number += 1
            if kind == b"fcTL":
                self._control(self._data[begin:end])
            else:
                self._pixels(begin + 4, end)

    def _first_pixels(self, begin: int, end: int) -> None:
        if not self._begun:
            self._begun, self.still_first = True, not self.frames
        if not self.still_first:
            if len(self.frames) > 1:
                raise _DamagedError
            self.frames[0].pixels.append((begin, end))

    def _pixels(self, begin: int, end: int) -> None:
        if not self._begun or len(self.frames) <= (not self.still_first):
            raise _DamagedError
        self.frames[-1].pixels.append((begin, end))

    def _control(self, content: bytes) -> None:
        if len(content) != _CONTROL.size or (self.frames and not self.frames[-1].pixels):
            raise _DamagedError
        _, width, height, left, top, delay, unit, disposal, blending = _CONTROL.unpack(content)
        across, down = self._size
        if not (0 < width <= across - left and 0 < height <= down - top) or disposal > 2 or blending > 1:
            raise _DamagedError
        if not self._begun and (width, height) != self._size:
            raise _DamagedError
        self.frames.append(ApngFrame(width, height, left, top, 1000 * delay / (unit or 100), disposal, blending))
