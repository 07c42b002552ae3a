"""An original, opened: its size, its frames, and the mezzanine that is made of it.

Opening raises `Unrenderable` for every fault of the bytes. The methods raise what Pillow raises, and their callers turn
it into the errors of the service (`errors.as_unrenderable`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from service.imaging.containers.container import turned
from service.imaging.containers.peek import format_of
from service.imaging.errors import as_unrenderable
from service.imaging.geometry import Box, Plan, Size
from service.imaging.mezzanine import LEAST_SHARE, SIDE, Mezzanine, reduced_size
from service.imaging.order import Limits, Order
from service.imaging.pixels import Step
from service.imaging.pixels.colour import needed_alpha, to_srgb
from service.imaging.pixels.orientation import orientation, stored_box, upright
from service.imaging.pixels.resample import resample
from service.imaging.pixels.strips import resample_in_strips
from service.imaging.reading.animation import Frame, affordable, first_picture, frames, plays
from service.imaging.reading.apng import DamagedFrameError
from service.imaging.reading.decode import plain, shrink_on_load
from service.imaging.reading.readers import opened

_HELD = 4_194_304
"""Pixels of a decoded picture that may be held while its rendition is encoded."""


@dataclass(frozen=True, slots=True)
class Still:
    """The finished pixels of one frame."""

    image: Image.Image
    palette: bool = False
    """Whether the original has a palette."""
    more_frames: bool = False
    """Whether the original has more frames than this one."""
    mezzanine_possible: bool = False
    """Whether a mezzanine can be made of the original."""


@dataclass(frozen=True, slots=True)
class Moving:
    """The finished pixels of all frames."""

    frames: list[Frame]
    plays: int
    """How many times the animation plays. 0 means without end."""
    still: Image.Image | None
    """The picture for readers that show no animation, where it is not a frame."""


class Source:
    """An original whose header is parsed. No pixel is decoded before `still` or `moving`, one of which is called once.

    *size* is the upright size in pixels.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data, self._limits = data, limits
        with as_unrenderable():
            self._kind = format_of(data)
            self._image, self._outline = opened(data, self._kind, limits)
            self._turn = orientation(self._image)
        self._stored = self._image.size
        self._colour = self._image.info.get("icc_profile"), self._image.info.get("code_points")
        self.size = turned(self._stored, self._turn)
        self._share = LEAST_SHARE * SIDE / max(self._stored)  # of the original's size; a mezzanine needs it
        self._large = self._share <= 0.5
        self._leftover: Image.Image | None = None

    def steps(self, plan: Plan) -> list[Step]:
        """Return the work on one frame, from its decoded pixels to upright pixels in sRGB at the scaled size of *plan*.

        The first step makes the frame small, so that the others are cheap.
        """
        size = turned(plan.scaled, self._turn)
        crop = stored_box(plan.crop, self._stored, self._turn) if plan.crop else None
        return [
            lambda frame: self._resampled(frame, size, self._within(frame, crop)),
            lambda frame: to_srgb(frame, *self._colour),
            lambda frame: upright(frame, self._turn),
            needed_alpha,
        ]

    def still(self, work: Step, ratio: float, *, with_mezzanine: bool = False) -> Still:
        """Decode the first frame and do the *work* on it. The decoded pixels are released.

        *ratio* is the share of the original's size that the work needs. *with_mezzanine* makes the decoded pixels large
        enough for `mezzanine`, too.
        """
        shrink_on_load(self._image, ratio, self._share if with_mezzanine and self._large else 0.0)
        self._image.load()
        small, palette = work(self._image), self._image.mode in ("P", "PA")
        return Still(small, palette, self._outline.frames > 1, self._release_pixels())

    def moving(self, work: Step, size: Size, order: Order) -> Moving | None:
        """Decode all frames, and do the *work* on each; *size* is that of the rendition.

        Return None for one frame, for more frames than *order* allows, and for an animation that is damaged.
        """
        image, outline = self._image, self._outline
        if outline.frames <= 1 or not affordable(outline, size, order.format, order.limits):
            return None
        try:
            still = first_picture(image, work) if outline.still_first else None
            return Moving(list(frames(self._data, image, outline, work)), plays(image, self._kind), still)
        except DamagedFrameError:
            self._outline = replace(outline, frames=1)
            return None

    def mezzanine(self) -> Mezzanine | None:
        """Return the mezzanine, or None where the original is transparent.

        After `still`, it is made of the pixels that were decoded for it, where they are large enough.
        """
        if self._leftover is None:
            image, _ = opened(self._data, self._kind, self._limits)
            shrink_on_load(image, 0.0, self._share)
            image.load()
            small = self._resampled(image, reduced_size(image.size))
        else:
            small = resample(self._leftover, reduced_size(self._leftover.size))
        finished = needed_alpha(upright(to_srgb(small, *self._colour), self._turn))
        return Mezzanine(finished, self.size) if finished.mode in ("L", "RGB") else None

    def _release_pixels(self) -> bool:
        """Release the decoded pixels (up to 200 MB, which the encoder may need), and keep what a mezzanine needs.

        Return whether one can be made.
        """
        image = self._image
        large = self._large and self._outline.frames <= 1 and image.mode not in ("P", "PA")
        if large and max(image.size) >= LEAST_SHARE * SIDE:
            much = image.width * image.height > _HELD
            self._leftover = self._resampled(image, reduced_size(image.size) if much else image.size)
        del self._image
        return large

    def _within(self, frame: Image.Image, crop: Box | None) -> Box | None:
        """Return where *crop*, a box on the stored picture, is on *frame*, which is smaller after shrink-on-load."""
        if crop is None:
            return None
        across, down = frame.width / self._stored[0], frame.height / self._stored[1]
        return crop[0] * across, crop[1] * down, crop[2] * across, crop[3] * down

    def _resampled(self, image: Image.Image, size: Size, box: Box | None = None) -> Image.Image:
        """Return *image* in plain pixels at *size*."""
        if image.format in ("GIF", "TIFF"):
            image = plain(image)  # their readers know facts of the whole picture that a part of it does not have
        return resample_in_strips(image, size, box, plain)
