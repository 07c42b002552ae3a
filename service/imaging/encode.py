"""Pixels to files. Knows nothing of where the pixels came from, and lets nothing but pixels through."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from PIL import Image, TiffImagePlugin

from service.formats import Format
from service.imaging.animation import Frame
from service.imaging.order import Encoding

_CLEAR = 255
"""The palette entry that is transparent in our GIFs; the other 255 are colours."""


def encode_still(image: Image.Image, kind: Format, encoding: Encoding, *, palette: bool = False) -> bytes:
    """One picture (L, LA, RGB, RGBA) as a file. *palette* says that the original had one."""
    image.info.clear()  # EXIF, XMP, profile and comment would be written again from here
    if kind is Format.GIF:
        image = _indexed(image, dither=encoding.gif_dither)
    options = _options(kind, encoding)
    if kind is Format.PNG:
        if palette and encoding.png_palette:
            image = _with_palette(image)
        elif _photographic(image):
            options["compress_type"] = zlib.Z_RLE
    return _saved(image, kind, options)


def encode_animation(
    frames: Sequence[Frame], kind: Format, plays: int, encoding: Encoding, *, still: Image.Image | None = None
) -> bytes:
    """Frames of one size as an animated GIF, PNG, WebP or AVIF that shows *plays* times (0: for ever).

    *still* is for those who show no animation and is no frame of it; a PNG alone has room for one.
    """
    options = _options(kind, encoding)
    every = [frame.image for frame in frames] + ([still] if still else [])
    clear = any(image.mode in ("LA", "RGBA") for image in every)
    images = [frame.image.convert("RGBA" if clear else "RGB") for frame in frames]
    if still is not None and kind is Format.PNG:
        images.insert(0, still.convert(images[0].mode))
        options["default_image"] = True
    if kind is Format.GIF:
        images = [_indexed(image, dither=False) for image in images]
        if clear:
            options["disposal"] = 2
    for image in images:
        image.info = {"transparency": _CLEAR} if "transparency" in image.info else {}
    if kind is Format.GIF:
        if plays != 1:
            options["loop"] = max(0, plays - 1)
    elif kind is Format.AVIF:  # its writer has no place for the number of plays
        options["range"] = "limited"  # Chromium 156 takes a sequence for that whatever it says, and deepens the shadows
    else:
        options["loop"] = plays
    options["duration"] = _durations(frames, kind)
    data = _saved(images[0], kind, {**options, "save_all": True, "append_images": images[1:]})
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
        return {"quality": encoding.avif_quality, "speed": encoding.avif_speed, "max_threads": 1}
    if kind is Format.PNG:
        return {"compress_level": encoding.png_level}
    if kind is Format.TIFF:
        return {"compression": "tiff_adobe_deflate", "tiffinfo": {TiffImagePlugin.PREDICTOR: 2}}  # a third smaller
    return {}


def _saved(image: Image.Image, kind: Format, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, kind.name, **options)
    return _undated(file.getvalue()) if kind is Format.AVIF else file.getvalue()


def _undated(avif: bytes) -> bytes:
    """*avif* without its times of creation and modification, for a strong ETag promises the same bytes every time."""
    data = bytearray(avif)
    end = data.find(b"mdat")
    for box in (b"mvhd", b"tkhd", b"mdhd"):
        at = data.find(box, 0, end)
        while at >= 0:
            times = slice(at + 8, at + 8 + (16 if data[at + 4] == 1 else 8))  # after the version and three flags
            data[times] = bytes(times.stop - times.start)
            at = data.find(box, at + 4, end)
    return bytes(data)


def _durations(frames: Sequence[Frame], kind: Format) -> list[int]:
    """Whole milliseconds (hundredths in GIF) whose sum does not drift from that of the exact durations.

    WebP and AVIF have no frames of no duration; browsers show such a frame for 100 ms.
    """
    unit = 10 if kind is Format.GIF else 1
    least = 100 if kind in (Format.WEBP, Format.AVIF) else 0
    ends, end = [0], 0.0
    for frame in frames:
        end += frame.milliseconds or least
        ends.append(round(end / unit) * unit)
    return [later - earlier for earlier, later in pairwise(ends)]


def _indexed(image: Image.Image, *, dither: bool) -> Image.Image:
    """At most 255 colours and one that is transparent. A half-transparent pixel becomes the one or the other."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    if image.mode in ("L", "1"):
        return image.convert("L")
    few = _reduced(image.convert("RGB"), 255, dither=dither)
    few.info.clear()
    if alpha is not None:
        few.paste(_CLEAR, mask=alpha.point(lambda value: 255 if value < 128 else 0))
        few.info["transparency"] = _CLEAR
    return few


def _photographic(image: Image.Image) -> bool:
    """Whether nearly every pixel has a colour of its own. Deflate then finds no repetitions, however long it looks:
    told not to look, it takes a third of the time, and the file is no larger."""
    return image.mode in ("RGB", "RGBA") and image.getcolors(image.width * image.height // 8) is None


def _with_palette(image: Image.Image) -> Image.Image:
    return _reduced(image, 256, dither=True) if image.mode == "RGB" else image


def _reduced(image: Image.Image, colours: int, *, dither: bool) -> Image.Image:
    """Mode P, in at most so many *colours*; without loss where the picture has no more of them.

    The octree takes 3 to 11 ms at 319 pixels, where median cut takes 30 to 200 ms and is no better once dithered.
    """
    if image.getcolors(colours) is not None:
        return image.quantize(colours, Image.Quantize.MEDIANCUT)
    few = image.quantize(colours, Image.Quantize.FASTOCTREE)
    return image.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG) if dither else few
