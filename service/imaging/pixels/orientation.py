"""Which way up: EXIF orientation, as a turn of the small picture and of boxes on the large one. Knows no formats."""

from __future__ import annotations

from PIL import Image

from service.imaging.containers import exif
from service.imaging.geometry import Box, Size

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """1 to 8 (EXIF 2.3, tag 274); 1 too where the block is broken or says nothing. What XMP says does not count.

    Pillow turns TIFF upright itself, and states an AVIF's own turn as EXIF.
    """
    return 1 if image.format == "TIFF" else exif.orientation(image.info.get("exif") or b"")


def upright_size(size: Size, turn: int) -> Size:
    """The size that the picture has once it is turned."""
    return (size[1], size[0]) if turn >= 5 else size


def upright(image: Image.Image, turn: int) -> Image.Image:
    """The picture, turned."""
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def stored_box(box: Box, size: Size, turn: int) -> Box:
    """Where a *box* on the upright picture lies on the stored one, whose size is *size*."""
    left, top, right, bottom = box
    if turn >= 5:
        left, top, right, bottom = top, left, bottom, right
    # Stored as it stands, these start from the right-hand side (2, 3, 7, 8) or from below (3, 4, 6, 7).
    if turn in (2, 3, 7, 8):
        left, right = size[0] - right, size[0] - left
    if turn in (3, 4, 6, 7):
        top, bottom = size[1] - bottom, size[1] - top
    return left, top, right, bottom
