"""A GIF taken apart: every frame a small GIF of its own, for a decoder to read.

Knows nothing of what they add up to.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import GifImagePlugin, Image

from service.imaging.containers.gif import after_blocks, table_bytes
from service.imaging.reading.decode import plain
from service.imaging.reading.parts import Disposal, Part

_EXTENSION, _IMAGE, _TRAILER, _CONTROL = 0x21, 0x2C, 0x3B, 0xF9
_DISPOSALS = {2: Disposal.CLEAR, 3: Disposal.RESTORE}
_NO_CONTROL = bytes(4)


def parts(data: bytes) -> Iterator[Part]:
    """Every frame of a GIF, in the order of the file (GIF89a, sections 18 to 25). `outline` bounds their number."""
    at = 13 + table_bytes(data[10])
    shared = data[10] & 0x87, data[13:at]
    control = _NO_CONTROL
    while at < len(data):
        kind = data[at]
        if kind == _EXTENSION:
            if data[at + 1] == _CONTROL:
                control = data[at + 3 : at + 7]
            at = after_blocks(data, at + 2)
        elif kind == _IMAGE:
            place, flags = data[at + 1 : at + 9], data[at + 9]
            local = at + 10 + table_bytes(flags)
            colours = (flags & 0x87, data[at + 10 : local]) if flags & 0x80 else shared
            at = after_blocks(data, local + 1)
            left, top = int.from_bytes(place[:2], "little"), int.from_bytes(place[2:4], "little")
            time = 10.0 * int.from_bytes(control[1:3], "little")
            disposal = _DISPOSALS.get(control[0] >> 2 & 7, Disposal.KEEP)
            # Not kept here: it may have 100 MB.
            yield Part(
                _decoded(place[4:], flags & 0x40, colours, control, data[local:at]),
                left,
                top,
                time,
                disposal,
                over=True,
            )
            control = _NO_CONTROL
        elif kind == _TRAILER:
            return
        else:
            at += 1


def _decoded(size: bytes, interlaced: int, colours: tuple[int, bytes], control: bytes, body: bytes) -> Image.Image:
    flags, table = colours
    head = b"GIF89a" + size + bytes((flags, 0, 0)) + table
    transparent = bytes((_EXTENSION, _CONTROL, 4, control[0] & 1, 0, 0, control[3], 0))
    start = bytes((_IMAGE, 0, 0, 0, 0)) + size + bytes((interlaced,))
    return plain(GifImagePlugin.GifImageFile(io.BytesIO(head + transparent + start + body + bytes((_TRAILER,)))))
