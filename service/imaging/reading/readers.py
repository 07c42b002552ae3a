"""The few Pillow plug-ins that bytes may reach, and Pillow's global switches. Knows nothing of what is asked for.

Pillow finds plug-ins by importing all of them: fonts, fax machines, PostScript interpreters. Here the wanted ones are
imported by name and the search is marked as done, so that no other can ever be registered in this process.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import AvifImagePlugin, GifImagePlugin, Image, ImageFile, WebPImagePlugin

from service.formats import Format
from service.imaging.reading.avif import AvifFile
from service.imaging.reading.bmp import BmpFile
from service.imaging.reading.deep_tiff import DeepTiffFile
from service.imaging.reading.jpeg import JpegFile

# 2 is Pillow's own word for "every plug-in was looked for"; `Image.init()` and `preinit()` then do nothing.
Image._initialized = 2
# We count pixels ourselves, against the order's limits, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False
# One thread a picture: the render processes share the cores among themselves.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

READERS: dict[Format, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    Format.AVIF: AvifFile,
    Format.BMP: BmpFile,
    Format.GIF: GifImagePlugin.GifImageFile,
    # Not the JPEG plug-in's factory, which hands a multi-picture JPEG (MPO) on: its first picture is a plain JPEG.
    Format.JPEG: JpegFile,
    Format.TIFF: DeepTiffFile,
    Format.WEBP: WebPImagePlugin.WebPImageFile,
}
"""Readers of a whole file. That of PNG takes what `headers.png` has read (`png.PngFile`)."""

try:
    from pillow_heif import HeifImageFile, libheif_version, options
except ImportError:
    HEIF_VERSION = "none"  # the extra `heic` is not installed
else:  # not its opener, which would register more formats
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    READERS[Format.HEIC] = HeifImageFile
    HEIF_VERSION = libheif_version()

_READS = 400_000
"""Reads that come to about half a second. A GIF of 32 MiB in sub-blocks of 255 bytes takes 270,000."""


class Metered(io.BytesIO):
    """Bytes that may be read so many times and no more.

    Pillow's parsers walk markers, chunks and sub-blocks in Python, a `read` or two for each. A file of nothing but
    four-byte chunks would keep them busy for half a minute; a limit on the number of reads is a limit on that time.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = _READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise OSError("too many small reads")
        return super().read(size)
