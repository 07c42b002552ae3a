"""Pictures with an EXIF orientation, and PNGs with their EXIF in every place."""

from __future__ import annotations

import zlib

from PIL import ExifTags, Image

from tools.pictures.drawing import quarters, saved
from tools.pictures.png import chunk

_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""By EXIF orientation: how an upright picture is turned to be stored."""


def stored(orientation: int, image: Image.Image | None = None) -> Image.Image:
    """Return an upright *image*, or four quarters, as it is stored with that EXIF *orientation*."""
    image = image or quarters(160, 120)
    return image.transpose(_STORED[orientation]) if orientation in _STORED else image


def exif_block(orientation: int) -> bytes:
    """Return EXIF with that *orientation*."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block.tobytes()


def pngs_with_exif(orientation: int) -> dict[str, bytes]:
    """Return PNGs that have their EXIF in every place where readers look for it.

    ImageMagick wrote it as text before there was a chunk for it.
    """
    image, block = saved(stored(orientation), "PNG"), exif_block(orientation)
    start, end = image.index(b"IDAT") - 4, image.rindex(b"IEND") - 4
    lines = "\n".join(block.hex()[at : at + 72] for at in range(0, len(block.hex()), 72))
    text = f"\nexif\n{len(block):8}\n{lines}\n".encode()
    tiff = block.removeprefix(b"Exif\0\0")
    chunks = {
        "before": (start, chunk(b"eXIf", tiff)),
        "after": (end, chunk(b"eXIf", tiff)),
        "with a needless prefix": (start, chunk(b"eXIf", block)),
        "text": (end, chunk(b"tEXt", b"Raw profile type exif\0" + text)),
        "packed text": (start, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))),
    }
    return {name: image[:at] + more + image[at:] for name, (at, more) in chunks.items()}
