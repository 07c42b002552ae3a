"""An original, opened, and what is made of it: renditions, and the mezzanine. Knows no store and no time limit.

Raises `Unwritable` where a writer fails, and else what Pillow raises: `render` and `mezzanine` put it into our own
words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from service.imaging.containers.peek import format_of
from service.imaging.failures import writing
from service.imaging.geometry import Box, Plan, Size
from service.imaging.mezzanine import NEAREST, SIDE, Mezzanine, reduced_size
from service.imaging.order import Limits, Order, Rendered
from service.imaging.pixels.canvas import laid
from service.imaging.pixels.colour import needed_alpha, to_srgb
from service.imaging.pixels.orientation import orientation, stored_box, upright, upright_size
from service.imaging.pixels.resample import resample
from service.imaging.pixels.strips import resample_in_strips
from service.imaging.reading.animation import affordable, first_picture, frames, plays
from service.imaging.reading.apng import DamagedFrameError
from service.imaging.reading.decode import plain, shrink_on_load
from service.imaging.reading.readers import opened
from service.imaging.writing.encode import encode_animation, encode_still

_HELD = 4_194_304
"""Pixels of a decoded picture that may be held while its rendition is encoded."""


class Source:
    """An original whose header is parsed; nothing is decoded yet. *size* is that of the upright picture."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data, self._limits = data, limits
        self._kind = format_of(data)
        self._image, self._outline = opened(data, self._kind, limits)
        self._turn = orientation(self._image)
        self._stored = self._image.size
        self._colour = self._image.info.get("icc_profile"), self._image.info.get("code_points")
        self.size = upright_size(self._stored, self._turn)
        self._share = NEAREST * SIDE / max(self._stored)  # that a mezzanine needs
        self._large = self._share <= 0.5
        self._left: Image.Image | None = None

    def render(self, order: Order, *, with_mezzanine: bool = False) -> Rendered:
        """The rendition that *order* asks for. Once only: the picture's own pixels are let go.

        What is decoded suffices for the mezzanine too, if it is to be made *with_mezzanine* for certain.
        """
        made = order.plan(self.size)
        smaller = self._pipeline(made, order)
        moves = self._outline.frames > 1 and order.format.animated
        if moves and affordable(self._outline, made.size, order.format, order.limits):
            try:
                return self._animated(made, order, smaller)
            except DamagedFrameError:
                moves, self._outline = False, replace(self._outline, frames=1)
        shrink_on_load(self._image, made.ratio(self.size), self._share if with_mezzanine and self._large else 0.0)
        self._image.load()
        small, palette = smaller(self._image), self._image.mode in ("P", "PA")
        leaves = self._leave_small()
        with writing(order.format):
            written = encode_still(small, order.format, order.encoding, palette=palette)
        return Rendered(written, *made.size, frames=1, first_frame=moves, leaves=leaves)

    def mezzanine(self) -> Mezzanine | None:
        """After a rendition: the mezzanine, from what was decoded for it where that suffices. None with alpha."""
        if self._left is None:
            image, _ = opened(self._data, self._kind, self._limits)
            shrink_on_load(image, 0.0, self._share)
            image.load()
            small = self._resampled(image, reduced_size(image.size))
        else:
            small = resample(self._left, reduced_size(self._left.size))
        finished = needed_alpha(upright(to_srgb(small, *self._colour), self._turn))
        return Mezzanine(finished, self.size) if finished.mode in ("L", "RGB") else None

    def _leave_small(self) -> bool:
        """Let the decoded picture go (up to 200 MB, which the encoder may need), but for what a mezzanine is made of.

        Says whether one may be made.
        """
        image = self._image
        large = self._large and self._outline.frames <= 1 and image.mode not in ("P", "PA")
        if large and max(image.size) >= NEAREST * SIDE:
            much = image.width * image.height > _HELD
            self._left = self._resampled(image, reduced_size(image.size) if much else image.size)
        del self._image
        return large

    def _animated(self, made: Plan, order: Order, smaller: Callable[[Image.Image], Image.Image]) -> Rendered:
        image, source = self._image, self._outline
        still = first_picture(image, smaller) if source.still_first else None
        film = list(frames(self._data, image, source, smaller))
        count = plays(image, self._kind)
        with writing(order.format):
            written = encode_animation(film, order.format, count, order.encoding, still=still)
        return Rendered(written, *made.size, frames=len(film), first_frame=False)

    def _pipeline(self, made: Plan, order: Order) -> Callable[[Image.Image], Image.Image]:
        """The work on one frame, from decoded pixels to those that are written; all after `resample` is small."""
        full = self._stored
        size = upright_size(made.scaled, self._turn)
        crop = stored_box(made.crop, full, self._turn) if made.crop else None

        def smaller(frame: Image.Image) -> Image.Image:
            across, down = frame.width / full[0], frame.height / full[1]  # below 1 after shrink-on-load
            box = (crop[0] * across, crop[1] * down, crop[2] * across, crop[3] * down) if crop else None
            small = upright(to_srgb(self._resampled(frame, size, box), *self._colour), self._turn)
            return laid(needed_alpha(small), made, order.format)

        return smaller

    def _resampled(self, image: Image.Image, size: Size, box: Box | None = None) -> Image.Image:
        """*image* in plain pixels, scaled."""
        if image.format in ("GIF", "TIFF"):
            image = plain(image)  # what their readers know of the whole is lost with a part of it
        return resample_in_strips(image, size, box, plain)
