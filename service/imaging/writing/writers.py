"""The writers: a row of `WRITERS` for every format in which renditions are made.

To write a further format, add its row here and its row in `service.formats`. A writer with settings of its own has
them in `service.imaging.order.Encoding`.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, TiffImagePlugin

from service.formats import Format
from service.imaging.order import Encoding
from service.imaging.writing.animated_gif import LONGEST, animated_gif
from service.imaging.writing.avif_boxes import playing, undated
from service.imaging.writing.palettes import indexed, with_palette
from service.imaging.writing.timing import Timing

_AVIF_SUBSAMPLING = ("4:4:4", "4:2:2", "4:2:0")
"""Pillow's names of `Encoding.avif_subsampling`."""


@dataclass(frozen=True, slots=True)
class Animation:
    """The frames of an animation and their timing, in numbers that the format can hold."""

    images: list[Image.Image]
    """All frames, of one size and one mode: RGB or RGBA."""
    milliseconds: list[int]
    """The duration of every frame."""
    plays: int
    """How many times the animation plays. 0 means without end."""
    still: Image.Image | None = None
    """The picture for readers that show no animation, when it is not a frame. It has the mode of the frames."""

    @property
    def transparent(self) -> bool:
        """Whether a frame may be transparent."""
        return self.images[0].mode == "RGBA"


@dataclass(frozen=True, slots=True)
class Writer:
    """How one format is written."""

    still: Callable[[Image.Image, Encoding, bool], bytes]
    """Takes pixels (L, LA, RGB, RGBA) without metadata, and whether the original has a palette. Returns a file."""
    animation: Callable[[Animation, Encoding], bytes] | None = None
    """Returns an animated file. None for a format without animations."""
    timing: Timing | None = None
    """The timing that an animated format can hold."""


def _saved(image: Image.Image, kind: Format, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind.name, **options)
    return file.getvalue()


def _saved_animation(animation: Animation, kind: Format, **options: Any) -> bytes:
    first, *rest = animation.images
    timing = {"duration": animation.milliseconds, "loop": animation.plays}
    return _saved(first, kind, save_all=True, append_images=rest, **timing, **options)


def _jpeg(image: Image.Image, encoding: Encoding, palette: bool) -> bytes:
    return _saved(
        image,
        Format.JPEG,
        quality=encoding.jpeg_quality,
        progressive=encoding.jpeg_progressive,
        subsampling=encoding.jpeg_subsampling,
        optimize=True,
    )


def _webp(image: Image.Image, encoding: Encoding, palette: bool) -> bytes:
    return _saved(image, Format.WEBP, quality=encoding.webp_quality, method=encoding.webp_method)


def _webp_animation(animation: Animation, encoding: Encoding) -> bytes:
    data = _saved_animation(animation, Format.WEBP, quality=encoding.webp_quality, method=encoding.webp_method)
    return _with_alpha_flag(data) if animation.transparent else data


def _with_alpha_flag(webp: bytes) -> bytes:
    """Return *webp* with the alpha flag, in the first byte of the chunk VP8X (RFC 9649, section 2.7).

    libwebp cuts frames down to what changes, and does not set the flag for the transparent pixels around them. Readers
    then paint these black.
    """
    return webp[:20] + bytes((webp[20] | 0x10,)) + webp[21:] if webp[12:16] == b"VP8X" else webp


def _avif(image: Image.Image, encoding: Encoding, palette: bool) -> bytes:
    return undated(_saved(image, Format.AVIF, **_avif_options(encoding)))


def _avif_animation(animation: Animation, encoding: Encoding) -> bytes:
    # Chromium 156 reads every sequence as limited range. It shows one with full range with darker shadows.
    data = _saved_animation(animation, Format.AVIF, range="limited", **_avif_options(encoding))
    return playing(undated(data), animation.plays)  # Pillow has no option for it


def _avif_options(encoding: Encoding) -> dict[str, Any]:
    return {
        "quality": encoding.avif_quality,
        "speed": encoding.avif_speed,
        "subsampling": _AVIF_SUBSAMPLING[encoding.avif_subsampling],
        "max_threads": 1,
    }


def _png(image: Image.Image, encoding: Encoding, palette: bool) -> bytes:
    if palette and encoding.png_palette:
        return _saved(with_palette(image), Format.PNG, compress_level=encoding.png_level)
    return _saved(image, Format.PNG, **_png_options(image, encoding))


def _png_animation(animation: Animation, encoding: Encoding) -> bytes:
    options = _png_options(animation.images[0], encoding)
    if animation.still is not None:
        animation = replace(animation, images=[animation.still, *animation.images])
        options["default_image"] = True
    return _saved_animation(animation, Format.PNG, **options)


def _png_options(image: Image.Image, encoding: Encoding) -> dict[str, Any]:
    """Return Pillow's options for *image*, or for an animation that begins with it.

    Deflate finds no repetitions where nearly every pixel has a colour of its own. Without the search it takes a third
    of the time, and the file is no larger.
    """
    options: dict[str, Any] = {"compress_level": encoding.png_level}
    if image.mode in ("RGB", "RGBA") and image.getcolors(image.width * image.height // 8) is None:
        options["compress_type"] = zlib.Z_RLE
    return options


def _gif(image: Image.Image, encoding: Encoding, palette: bool) -> bytes:
    return _saved(indexed(image, dither=encoding.gif_dither), Format.GIF)


def _animated_gif(animation: Animation, encoding: Encoding) -> bytes:
    return animated_gif(animation.images, animation.milliseconds, animation.plays)


def _tiff(image: Image.Image, encoding: Encoding, palette: bool) -> bytes:
    predictor = {TiffImagePlugin.PREDICTOR: 2}  # makes the file a third smaller
    return _saved(image, Format.TIFF, compression="tiff_adobe_deflate", tiffinfo=predictor)


WRITERS: dict[Format, Writer] = {
    Format.JPEG: Writer(_jpeg),
    Format.WEBP: Writer(
        _webp,
        _webp_animation,
        Timing(
            longest=(1 << 24) - 1,  # 24 bits
            most_plays=(1 << 16) - 1,
            shortest=1,
            instead_of_zero=100,  # as long as browsers show such a frame
            longest_animation=(1 << 31) - 1,  # the writer counts in a signed number of 32 bits
        ),
    ),
    Format.AVIF: Writer(
        _avif,
        _avif_animation,
        Timing(
            longest=(1 << 31) - 1,  # 32 bits, which some readers take for signed ones
            most_plays=(1 << 31) - 1,  # readers count in a signed number of 32 bits
            shortest=1,
            instead_of_zero=100,
        ),
    ),
    Format.PNG: Writer(
        _png,
        _png_animation,
        Timing(
            longest=65_535_000,  # a fraction of 16 bits over 16 bits
            most_plays=(1 << 31) - 1,
            units=(1, 10, 100, 1000),
            short_fractions=True,
        ),
    ),
    Format.TIFF: Writer(_tiff),
    Format.GIF: Writer(
        _gif,
        _animated_gif,
        Timing(longest=LONGEST, most_plays=1 << 16, units=(10,)),  # the file counts repetitions
    ),
}
"""The writer of every writable format."""
