"""Pillow's AVIF reader, with the clean aperture, the code points of the colour, and the number of plays."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import Any

from PIL import AvifImagePlugin, Image

from service.imaging.containers.avif import CONTAINER, HELD, check_frames
from service.imaging.containers.container import Outline
from service.imaging.containers.isobmff.picture import shown_picture
from service.imaging.geometry import Size
from service.imaging.order import Limits
from service.imaging.reading.bounds import Opened, check_size, opened_within


class AvifFile(AvifImagePlugin.AvifImageFile):
    """An AVIF whose size and pixels are those within its clean aperture.

    `info` holds "code_points" if the file has them, and for an animation "loop", the number of plays.
    """

    coded: Size
    """The width and height in pixels as coded, before the aperture is applied."""

    def _open(self) -> None:
        assert self.fp is not None
        found = shown_picture(self.fp.read())
        self.fp.seek(0)
        super()._open()
        self.coded = self.size
        self._aperture = found.aperture if found and found.size == self.size else None
        if self._aperture:
            left, top, right, bottom = self._aperture
            self._size = right - left, bottom - top
        if found and found.colour:
            self.info["code_points"] = found.colour
        if found and self.is_animated:
            self.info["loop"] = found.plays

    def load(self) -> Any:
        """Decode the frame and crop it to the aperture."""
        if not self.tile or not self._aperture:
            return super().load()
        size, self._size = self._size, self.coded
        self.tile = [self.tile[0]._replace(extents=(0, 0, *self.coded))]
        self.im = Image.new(self.mode, self.coded).im  # that of the frame before has the aperture's size
        try:
            super().load()
        finally:
            self._size = size
        self.fp = io.BytesIO()  # the bytes of the file are decoded
        self.im = self.im.crop(self._aperture)
        return super().load()


def opened(data: bytes, limits: Limits) -> Opened:
    """Open an AVIF. Raise as `readers.opened` does."""
    image, _ = opened_within(CONTAINER, AvifFile, data, limits)
    check_size(image.coded, HELD, replace(limits, max_pixels=sys.maxsize))
    check_frames(data, image.coded, limits.max_frames)
    return image, Outline(*image.size, image.n_frames)
