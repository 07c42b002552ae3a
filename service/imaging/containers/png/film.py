"""The frames of an animated PNG, from its chunks alone (PNG, third edition, 11.3.3). Inflates nothing, knows no Pillow.

An animation with a damaged chunk is none: the picture for readers that show no animation is left.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.imaging.containers.png.chunks import Chunk, Span, sound
from service.imaging.failures import corrupt

_ANNOUNCEMENT = struct.Struct(">II")
"""Number of frames, number of plays."""
_CONTROL = struct.Struct(">IIIIIHHBB")
"""Sequence number, width, height, left, top, delay and its unit, disposal, blending."""
_MOST = 0x7FFF_FFFF
"""The largest number that PNG has (7.1)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: its box on the canvas in pixels, how long it is shown, and how it is drawn."""

    width: int
    height: int
    left: int
    top: int
    milliseconds: float
    disposal: int
    blending: int
    pixels: list[Span] = field(default_factory=list)
    """Where the parts of its zlib stream begin and end."""


@dataclass(frozen=True, slots=True)
class Film:
    """An animation of so many *promised* frames, played *plays* times (0: for ever)."""

    promised: int
    plays: int
    frames: Sequence[Frame] = ()
    """The promised frames; none where they are too many to be looked at."""
    still_first: bool = False
    """The pixels in IDAT are for readers that show no animation, and are no frame."""


class _DamagedError(Exception):
    """A chunk of the animation breaks a rule."""


def film(data: bytes, chunks: list[Chunk], size: tuple[int, int], most: int) -> Film | None:
    """The animation in *chunks*, those of the types acTL, fcTL, fdAT and IDAT, on a canvas of *size*.

    None if there is none, or a damaged one. Where it promises more than *most* frames, they are not looked at.

    Raises:
        Unrenderable: there are pixels of promised frames, and no chunk that says where any frame is shown.
    """
    kinds = [kind for kind, _, _ in chunks]
    if b"acTL" not in kinds[: kinds.index(b"IDAT")]:
        return None
    try:
        promised, plays = _announced(data, chunks[kinds.index(b"acTL")], kinds.count(b"acTL"))
        if promised > most:
            return Film(promised, plays)
        if b"fdAT" in kinds and b"fcTL" not in kinds:
            raise corrupt()
        reel = _Reel(data, size)
        for found in chunks:
            if found.kind == b"fcTL" and len(reel.frames) == promised:
                break
            reel.take(found)
        if len(reel.frames) < promised or not reel.frames[-1].pixels:
            return None
    except _DamagedError:
        return None
    return Film(promised, plays, reel.frames, reel.still_first)


def _announced(data: bytes, found: Chunk, times: int) -> tuple[int, int]:
    """The numbers of frames and of plays."""
    _, begin, end = found
    if times > 1 or end - begin != _ANNOUNCEMENT.size or not sound(data, found):
        raise _DamagedError
    promised, plays = _ANNOUNCEMENT.unpack_from(data, begin)
    if not 0 < promised <= _MOST:
        raise _DamagedError
    return promised, min(plays, _MOST)


class _Reel:
    """The frames so far."""

    def __init__(self, data: bytes, size: tuple[int, int]) -> None:
        self._data, self._size = data, size
        self._number = 0
        self._begun = False
        self.frames: list[Frame] = []
        self.still_first = False

    def take(self, found: Chunk) -> None:
        """Look at the next chunk. Raises `_DamagedError`."""
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
        self.frames.append(Frame(width, height, left, top, 1000 * delay / (unit or 100), disposal, blending))
