"""The format, transparency, size and stripping of a PNG. This module does not import Pillow."""

from __future__ import annotations

from itertools import islice

from service.imaging.containers import exif
from service.imaging.containers.container import Container, turned
from service.imaging.containers.png.chunks import SIGNATURE, chunks, sound, written
from service.imaging.containers.png.contents import allows_key, read
from service.imaging.containers.png.values import ExifBlock
from service.imaging.containers.window import Bytes
from service.imaging.geometry import Size

_WITH_ALPHA = (4, 6)
"""Colour types with an alpha channel."""
_MAX_ALPHA_CHUNKS = 1_024
"""Chunks that are walked for alpha."""
_MAX_SIZE_CHUNKS = 5_000
"""Chunks that are walked for the size. The size of a file with more of them is unknown."""
_MAX_EXIF = 1_048_576
"""Bytes of chunks with EXIF that are read for the size."""
_FRAMES = frozenset((b"acTL", b"fcTL", b"fdAT"))
_KEPT = frozenset(b"IHDR PLTE tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs".split())
"""Chunks before the pixels that are no metadata. After the pixels only frames are kept."""


def _matches(head: bytes) -> bool:
    return head.startswith(SIGNATURE)


def _alpha(data: Bytes) -> bool:
    """Return whether there is an alpha channel, or a tRNS chunk that is usable."""
    colour, entries = -1, 0
    for found in islice(chunks(data), _MAX_ALPHA_CHUNKS):
        kind, begin, end = found
        if kind == b"IHDR":
            colour = int.from_bytes(data[begin + 9 : begin + 10], "big")
        elif kind == b"PLTE":
            entries = (end - begin) // 3
        elif kind == b"tRNS" and allows_key(colour, entries, end - begin) and sound(data, found):
            return True
        elif kind == b"IDAT":
            break
    return colour in _WITH_ALPHA


def _upright_size(data: Bytes) -> Size | None:
    """Return the size in IHDR, turned by the EXIF block, which may follow the pixels."""
    size: Size | None = None
    block, held, end = ExifBlock(), 0, 0
    for step, found in enumerate(chunks(data)):
        kind, begin, end = found
        if kind == b"IHDR" and size is None:
            size = int.from_bytes(data[begin : begin + 4], "big"), int.from_bytes(data[begin + 4 : begin + 8], "big")
        elif block.may_be_in(data, found):
            held += end - begin
            if held > _MAX_EXIF:
                return None
            block.take(data, found)
        if kind == b"IEND":
            break
        if step == _MAX_SIZE_CHUNKS:
            return None
    else:
        if len(data[end + 4 : end + 12]) < 8 <= len(data) - end - 4:
            return None  # a window gives no more bytes
    return turned(size, exif.orientation(block.content)) if size else None


def _stripped(data: bytes, turn: int, most_frames: int) -> bytes:
    """Return the PNG with right checksums of the pixels. They were not compared here, but browsers may compare them."""
    kept, begun = [SIGNATURE], False
    frames = _FRAMES if read(data, most_frames).animation else frozenset()
    for found in chunks(data):
        kind, begin, end = found
        if kind == b"IDAT":
            begun = True
            kept.append(written(kind, data[begin:end]))
        elif kind in (frames if begun else _KEPT | frames) and sound(data, found):
            kept.append(data[begin - 8 : end + 4])
        if kind == b"IHDR" and turn != 1:
            kept.append(written(b"eXIf", exif.block_of(turn)))
    return b"".join((*kept, written(b"IEND", b"")))


CONTAINER = Container(_matches, _upright_size, _alpha, stripped=_stripped)
