"""Pixels to files. Knows nothing of where the pixels came from, and lets nothing but pixels through."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageFile, TiffImagePlugin

from service.formats import Format
from service.imaging.order import Encoding
from service.imaging.reading.animation import Frame
from service.imaging.writing.avif_film import playing, undated
from service.imaging.writing.gif_film import gif_film
from service.imaging.writing.palettes import indexed, with_palette
from service.imaging.writing.timing import durations, plays_within

_AVIF_SUBSAMPLING = ("4:4:4", "4:2:2", "4:2:0")


def encode_still(image: Image.Image, kind: Format, encoding: Encoding, *, palette: bool = False) -> bytes:
    """One picture (L, LA, RGB, RGBA) as a file. *palette* says that the original had one."""
    if isinstance(image, ImageFile.ImageFile):
        image = image.copy()  # pixels alone: the TIFF writer copies XMP, IPTC and Photoshop's from a TIFF reader's tags
    image.info.clear()  # EXIF, XMP, profile and comment would be written again from here
    if kind is Format.GIF:
        image = indexed(image, dither=encoding.gif_dither)
    options = _options(kind, encoding)
    if kind is Format.PNG:
        if palette and encoding.png_palette:
            image = with_palette(image)
        elif _photographic(image):
            options["compress_type"] = zlib.Z_RLE
    return _saved(image, kind, options)


def encode_animation(
    frames: Sequence[Frame], kind: Format, plays: int, encoding: Encoding, *, still: Image.Image | None = None
) -> bytes:
    """Frames of one size as an animated GIF, PNG, WebP or AVIF that shows *plays* times (0: for ever).

    *still* is for those who show no animation and is no frame of it; a PNG alone has room for one.
    """
    every = [frame.image for frame in frames] + ([still] if still else [])
    clear = any(image.mode in ("LA", "RGBA") for image in every)
    mode = "RGBA" if clear else "RGB"
    images = [image if image.mode == mode else image.convert(mode) for image in (frame.image for frame in frames)]
    times, plays = durations([frame.milliseconds for frame in frames], kind), plays_within(plays, kind)
    if kind is Format.GIF:
        return gif_film(images, times, plays)
    options = _options(kind, encoding)
    if kind is Format.PNG and _photographic(images[0]):
        options["compress_type"] = zlib.Z_RLE
    if still is not None and kind is Format.PNG:
        images.insert(0, still.convert(mode))
        options["default_image"] = True
    for image in images:
        image.info.clear()
    options["loop"] = plays
    if kind is Format.AVIF:
        options["range"] = "limited"  # Chromium 156 takes a sequence for that whatever it says, and deepens the shadows
    options["duration"] = times
    data = _saved(images[0], kind, {**options, "save_all": True, "append_images": images[1:]})
    if kind is Format.AVIF:
        return playing(data, plays)  # its writer has no option for it
    return _declared_clear(data) if kind is Format.WEBP and clear else data


def _declared_clear(data: bytes) -> bytes:
    """libwebp cuts frames down to what changes, and forgets to say that what they leave bare is transparent: readers
    then paint it black. The flag is in the first byte of the chunk VP8X (RFC 9649, section 2.7)."""
    return data[:20] + bytes((data[20] | 0x10,)) + data[21:] if data[12:16] == b"VP8X" else data


def _options(kind: Format, encoding: Encoding) -> dict[str, Any]:
    if kind is Format.JPEG:
        return {
            "quality": encoding.jpeg_quality,
            "progressive": encoding.jpeg_progressive,
            "subsampling": encoding.jpeg_subsampling,
            "optimize": True,
        }
    if kind is Format.WEBP:
        return {"quality": encoding.webp_quality, "method": encoding.webp_method}
    if kind is Format.AVIF:
        return {
            "quality": encoding.avif_quality,
            "speed": encoding.avif_speed,
            "subsampling": _AVIF_SUBSAMPLING[encoding.avif_subsampling],
            "max_threads": 1,
        }
    if kind is Format.PNG:
        return {"compress_level": encoding.png_level}
    if kind is Format.TIFF:
        return {"compression": "tiff_adobe_deflate", "tiffinfo": {TiffImagePlugin.PREDICTOR: 2}}  # a third smaller
    return {}


def _saved(image: Image.Image, kind: Format, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, kind.name, **options)
    return undated(file.getvalue()) if kind is Format.AVIF else file.getvalue()


def _photographic(image: Image.Image) -> bool:
    """Whether nearly every pixel has a colour of its own. Deflate then finds no repetitions, however long it looks:
    told not to look, it takes a third of the time, and the file is no larger."""
    return image.mode in ("RGB", "RGBA") and image.getcolors(image.width * image.height // 8) is None
