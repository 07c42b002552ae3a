"""The EXIF orientation: how a picture, its size and a box on it are turned.

An orientation is a number from 1 to 8 (EXIF 2.3, tag 274).
"""

from __future__ import annotations

from PIL import Image

from service.imaging.containers import exif
from service.imaging.geometry import Box, Size

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """Return the orientation of *image*. It is 1 without EXIF, or with broken EXIF. XMP is not read.

    Pillow turns TIFF upright, and gives the rotation of an AVIF as EXIF.
    """
    return 1 if image.format == "TIFF" else exif.orientation(image.info.get("exif") or b"")


def upright(image: Image.Image, turn: int) -> Image.Image:
    """Return *image*, stored with this orientation, upright."""
    return image.transpose(_TRANSPOSES[turn]) if turn in _TRANSPOSES else image


def stored_box(box: Box, size: Size, turn: int) -> Box:
    """Return the box on the stored picture, which has this *size*, of a *box* on the upright picture."""
    left, top, right, bottom = box
    if turn >= 5:
        left, top, right, bottom = top, left, bottom, right
    # These orientations are stored from the right (2, 3, 7, 8) or from the bottom (3, 4, 6, 7).
    if turn in (2, 3, 7, 8):
        left, right = size[0] - right, size[0] - left
    if turn in (3, 4, 6, 7):
        top, bottom = size[1] - bottom, size[1] - top
    return left, top, right, bottom
