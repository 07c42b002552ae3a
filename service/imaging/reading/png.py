"""Pillow's PNG reader, which gets only chunks that `containers.png` has checked."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from PIL import Image, ImageChops, PngImagePlugin

from service.imaging.containers.container import Outline
from service.imaging.containers.png.chunks import Span
from service.imaging.containers.png.contents import Png, read
from service.imaging.geometry import Size
from service.imaging.order import Limits
from service.imaging.reading.bounds import Opened, check_size

_BLOCK = 65_536
"""Bytes of a zlib stream that the decoder gets at once, about."""
_ROOM = 1_000_000
"""Pixels that are compared at once."""
_WIDE_KEY_HELD = 1.0
"""Bytes per pixel that `PngFile` holds while it compares pixels of 16 bits with the transparent colour."""
_Spans = Sequence[Span]


class PngFile(PngImagePlugin.PngImageFile):
    """The picture in IDAT of *contents*, or the frame of *size* whose zlib stream is in *spans*.

    `info` holds "icc_profile" or "code_points", "exif" and "loop" if the file does, and "transparency", the transparent
    colour. A transparent colour of 16 bits becomes an alpha channel when the pixels are loaded, since Pillow keeps only
    8 bits of them.
    """

    def __init__(self, contents: Png, size: Size | None = None, spans: _Spans | None = None) -> None:
        self.contents = contents
        self._spans = contents.pixels if spans is None else spans
        super().__init__(io.BytesIO(contents.opening(*(size or contents.size))))
        self._blocks = _blocks(contents.data, self._spans)
        wide = self.mode == "RGB" and contents.header.depth == 16
        self._key = contents.key if wide else ()
        if contents.key and not wide:
            self.info["transparency"] = contents.key if self.mode == "RGB" else contents.key[0]
        if contents.code_points:
            self.info["code_points"] = contents.code_points
        if contents.profile:
            self.info["icc_profile"] = contents.profile
        if contents.exif:
            self.info["exif"] = contents.exif
        if contents.animation:
            self.info["loop"] = contents.animation.plays

    def load_prepare(self) -> None:
        """Compare the low bytes of the pixels with those of the transparent colour, before the pixels are loaded."""
        if self._key:
            low = _LowBytes(self.contents, self.size, self._spans)
            low.load()
            self._alpha = Image.new("L", self.size)
            _show_all_but([value & 255 for value in self._key], low, self._alpha)
        super().load_prepare()

    def load_read(self, read_bytes: int) -> bytes:
        """Return the next part of the zlib stream. Pillow's own file ends where the pixels begin."""
        return next(self._blocks, b"")

    def load_end(self) -> None:
        """Add the alpha channel of a transparent colour of 16 bits, after the pixels are loaded."""
        super().load_end()
        if self._key:
            _show_all_but([value >> 8 for value in self._key], self, self._alpha)
            self.putalpha(self._alpha)
            self._key = ()
            del self._alpha


class _LowBytes(PngFile):
    """The low bytes of pixels of 16 bits."""

    def load_prepare(self) -> None:
        self._key = ()
        self.tile = [tile._replace(args="RGB;16L") for tile in self.tile]
        super().load_prepare()


def _show_all_but(values: Sequence[int], image: Image.Image, alpha: Image.Image) -> None:
    """Make *alpha* opaque where a band of *image* differs from its value in *values*."""
    rows = max(1, _ROOM // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        strip = image.crop(box)
        for band, value in enumerate(values):
            other = strip.getchannel(band).point([255 * (each != value) for each in range(256)])
            alpha.paste(ImageChops.lighter(alpha.crop(box), other), box)


def _blocks(data: bytes, spans: _Spans) -> Iterator[bytes]:
    """Yield the bytes in these *spans* of *data*, in parts that are not empty."""
    held = bytearray()
    for begin, end in spans:
        for at in range(begin, end, _BLOCK):
            held += memoryview(data)[at : min(end, at + _BLOCK)]
            if len(held) >= _BLOCK:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)


def opened(data: bytes, limits: Limits) -> Opened:
    """Open a PNG. Raise as `readers.opened` does."""
    contents = read(data, limits.max_frames)
    wide = contents.header.depth == 16 and len(contents.key) > 1
    check_size(contents.size, _WIDE_KEY_HELD if wide else 0.0, limits)
    animation = contents.animation
    outline = (
        Outline(*contents.size, animation.promised, animation.still_first) if animation else Outline(*contents.size, 1)
    )
    return PngFile(contents), outline
