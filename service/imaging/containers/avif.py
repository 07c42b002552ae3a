"""The format, transparency, size and limits of an AVIF. This module does not import Pillow."""

from __future__ import annotations

from service.imaging.containers.av1 import extent
from service.imaging.containers.container import Container
from service.imaging.containers.isobmff.head import AVIF_BRANDS, alpha, brand
from service.imaging.containers.isobmff.items import check, streams
from service.imaging.containers.isobmff.picture import upright_size
from service.imaging.errors import too_much_work
from service.imaging.geometry import Size

HELD = 12.0
"""Bytes per pixel of up to four planes of 16 bits, which libavif holds while it makes RGBA of them
(`python -m tools.bench memory`)."""
_FREE = 1 << 24
"""Pixels that the frames may have with any canvas: the tiles of a grid extend beyond it, and a frame that names a
size of its own counts as large as its bits allow."""
_MAX_CANVASES = 12
"""How often the canvas may be filled for one frame: colour, alpha, a thumbnail, a gain map, hidden frames."""


def check_frames(data: bytes, size: Size, most: int) -> None:
    """Raise `Unrenderable` when frames are too large, or too many at once, for a canvas of *size*.

    *most* frames of an animation are examined, which is the number that may be decoded.
    """
    canvas = size[0] * size[1]
    at_once = 0
    for stream in streams(data, b"av01", most):
        found = extent(stream.pieces)
        at_once += stream.times * found.at_once
        if found.largest > max(canvas, _FREE) or at_once > max(_MAX_CANVASES * canvas, _FREE):
            raise too_much_work()


def _matches(head: bytes) -> bool:
    return brand(head) in AVIF_BRANDS


def _check(data: bytes, max_pixels: int) -> float:
    check(data)
    return HELD


CONTAINER = Container(_matches, upright_size, alpha, check=_check)
