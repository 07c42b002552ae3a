"""Changes to AVIF files that Pillow's writer has no options for: the times of creation, and the number of plays.

The fields are overwritten in their boxes (ISO/IEC 14496-12), so no box changes its size. This module does not import
Pillow.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.imaging.containers.isobmff.boxes import Box, Steps, boxes, number

_HOLDERS = (b"moov", b"trak", b"edts", b"mdia")
_TIMED = (b"mvhd", b"tkhd", b"mdhd")
_DURATION = {b"mvhd": (16, 24), b"tkhd": (20, 28), b"elst": (8, 8)}
"""Byte offsets of the duration in version 0 (32 bits) and in version 1 (64 bits) of a box."""


def undated(avif: bytes) -> bytes:
    """Return *avif* without its times of creation and modification, since a strong ETag requires equal bytes."""
    data = bytearray(avif)
    for box in _timed_boxes(avif):
        if box.kind in _TIMED:
            size = 16 if data[box.start] == 1 else 8
            data[box.start + 4 : box.start + 4 + size] = bytes(size)
    return bytes(data)


def playing(avif: bytes, plays: int) -> bytes:
    """Return *avif*, an animation that plays without end, as one that plays *plays* times. 0 means without end.

    The edit list repeats until the duration of the track is over. Without its flag it plays once.
    """
    if not plays:
        return avif
    data = bytearray(avif)
    found = list(_timed_boxes(avif))
    once = max((_duration(avif, box) for box in found if box.kind == b"elst"), default=0)
    for box in found:
        if box.kind in (b"mvhd", b"tkhd"):
            at, size = _place(avif, box)
            data[at : at + size] = min(plays * once, (1 << 8 * size) - 2).to_bytes(size, "big")
        elif box.kind == b"elst" and plays == 1:
            data[box.start + 3] &= 0xFE
    return bytes(data)


def _timed_boxes(avif: bytes) -> Iterator[Box]:
    """Yield the boxes of the file, and those within the boxes of `_HOLDERS`."""
    steps = Steps()
    waiting = list(boxes(avif, 0, len(avif), steps))
    while waiting:
        box = waiting.pop()
        if box.kind in _HOLDERS:
            waiting += boxes(avif, box.start, box.end, steps)
        yield box


def _place(avif: bytes, box: Box) -> tuple[int, int]:
    wide = avif[box.start] == 1
    return box.start + _DURATION[box.kind][wide], 8 if wide else 4


def _duration(avif: bytes, box: Box) -> int:
    return number(avif, *_place(avif, box))
