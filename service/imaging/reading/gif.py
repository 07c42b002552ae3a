"""The frames of a GIF, each decoded from a GIF that holds only this frame."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import GifImagePlugin, Image

from service.imaging.containers.gif import CONTROL, IMAGE, after_blocks, blocks, body, box, table_bytes
from service.imaging.reading.decode import plain
from service.imaging.reading.parts import Disposal, Part

_DISPOSALS = {2: Disposal.CLEAR, 3: Disposal.RESTORE}
_NO_CONTROL = bytes(4)


def parts(data: bytes) -> Iterator[Part]:
    """Yield every frame of a GIF, in the order of the file (GIF89a, sections 18 to 25).

    The caller stops at the number of frames that the outline has counted.
    """
    shared = data[10] & 0x87, data[13 : 13 + table_bytes(data[10])]
    control = _NO_CONTROL
    for at, head in blocks(data):
        if head[:2] == CONTROL:
            control = data[at + 3 : at + 7]
        if head[0] != IMAGE:
            continue
        flags, begin = head[9], body(at, head) - 1
        end = after_blocks(data, begin + 1)
        colours = (flags & 0x87, data[at + 10 : begin]) if flags & 0x80 else shared
        left, top, _, _ = box(head)
        time = 10.0 * int.from_bytes(control[1:3], "little")
        disposal = _DISPOSALS.get(control[0] >> 2 & 7, Disposal.KEEP)
        # The picture may have 100 MB, so no variable here holds it.
        yield Part(
            _decoded(head[5:9], flags & 0x40, colours, control, data[begin:end]),
            left,
            top,
            time,
            disposal,
            over=True,
        )
        control = _NO_CONTROL


def _decoded(size: bytes, interlaced: int, colours: tuple[int, bytes], control: bytes, body: bytes) -> Image.Image:
    flags, table = colours
    head = b"GIF89a" + size + bytes((flags, 0, 0)) + table
    transparent = bytes((0x21, 0xF9, 4, control[0] & 1, 0, 0, control[3], 0))
    start = bytes((0x2C, 0, 0, 0, 0)) + size + bytes((interlaced,))
    return plain(GifImagePlugin.GifImageFile(io.BytesIO(head + transparent + start + body + b";")))
