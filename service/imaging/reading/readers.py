"""The readers by format, and the global switches of Pillow.

Pillow finds plug-ins by importing all of them, such as those for fonts, fax machines and PostScript. This module
imports the plug-ins that are wanted and marks the search as done, so that no other is registered in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PIL import AvifImagePlugin, GifImagePlugin, Image, ImageFile

from service.errors import N_, Unsupported
from service.formats import Format
from service.imaging.containers import bmp as bmp_container
from service.imaging.containers import gif as gif_container
from service.imaging.containers import tiff as tiff_container
from service.imaging.order import Limits
from service.imaging.reading import avif, heic, jpeg, png, webp
from service.imaging.reading.bmp import BmpFile
from service.imaging.reading.bounds import Opened, opened_within
from service.imaging.reading.deep_tiff import DeepTiffFile

# With 2, "all plug-ins were searched for", `Image.init()` and `Image.preinit()` do nothing.
Image._initialized = 2
# Pixels are counted against the limits of the order, before decoding.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False
# One thread for each picture: the render processes share the cores.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

READERS: dict[Format, Callable[[bytes, Limits], Opened]] = {
    Format.AVIF: avif.opened,
    Format.BMP: partial(opened_within, bmp_container.CONTAINER, BmpFile),
    Format.GIF: partial(opened_within, gif_container.CONTAINER, GifImagePlugin.GifImageFile),
    Format.JPEG: jpeg.opened,
    Format.PNG: png.opened,
    Format.TIFF: partial(opened_within, tiff_container.CONTAINER, DeepTiffFile),
    Format.WEBP: webp.opened,
}
"""Functions that parse the header of a file. HEIC is absent unless the extra `heic` is installed."""
if heic.INSTALLED:
    READERS[Format.HEIC] = heic.opened


def opened(data: bytes, kind: Format, limits: Limits) -> Opened:
    """Open *data* as that *kind* and no other. The header is parsed and nothing is decoded.

    Raises:
        Unrenderable: a frame has too many pixels, the header promises too much work, or *kind* has no reader here.
        Exception: any exception of Pillow for broken bytes; `as_unrenderable` converts it.
    """
    if kind not in READERS:
        raise Unsupported(N_("%(format)s pictures cannot be read here."), {"format": kind.name})
    return READERS[kind](data, limits)
