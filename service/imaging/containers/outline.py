"""Canvas and frame count of a GIF or WebP, from its bytes alone, in bounded time. Never decodes, knows no Pillow.

Pillow counts a GIF's frames by parsing them all, which is not fit for hostile bytes. `png` knows those of a PNG.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.formats import Format
from service.imaging.containers.gif import table_bytes

_MAX_STEPS = 400_000
"""Blocks that are walked at most (about 0.1 s). What lies beyond is not counted."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Width and height in pixels of the whole canvas, and the number of frames on it."""

    width: int
    height: int
    frames: int
    still_first: bool = False
    """An APNG whose first picture is for those who show no animation, and no frame of it."""


def outline(data: bytes, kind: Format, most: int) -> Outline | None:
    """What the headers promise, or None for a *kind* whose reader can be asked safely, or bytes that are broken.

    Counting stops at *most* + 1 frames.
    """
    if kind is Format.GIF:
        return _gif(data, most)
    if kind is Format.WEBP:
        return _webp(data)
    return None


def _gif(data: bytes, most: int) -> Outline | None:
    if len(data) < 13:
        return None
    width, height = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    at, frames, end = 13 + table_bytes(data[10]), 0, len(data)
    steps = _MAX_STEPS
    while at < end and frames <= most and steps > 0:
        kind = data[at]
        if kind == 0x2C and at + 10 < end:
            left, top, across, down = (int.from_bytes(data[at + i : at + i + 2], "little") for i in (1, 3, 5, 7))
            # A frame that sticks out makes Pillow widen the canvas.
            width, height = max(width, left + across), max(height, top + down)
            frames += 1
            at += 11 + table_bytes(data[at + 9])
        elif kind == 0x21:
            at += 2
        elif kind == 0x3B:
            break
        else:
            at, steps = at + 1, steps - 1
            continue
        while at < end and data[at] and steps > 0:
            at += data[at] + 1
            steps -= 1
        at, steps = at + 1, steps - 1
    return Outline(width, height, frames)


def _webp(data: bytes) -> Outline | None:
    """The canvas alone: its reader counts the frames quickly, but sets memory aside for the canvas at once."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27))
    elif kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and len(data) >= 30:
        width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (26, 28))
    else:
        return None
    return Outline(width, height, 0)
