"""The mezzanine: a reduced master of a large original (upright, opaque, in sRGB) that smaller renditions are made of.

Knows nothing of where it is kept.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

from service.imaging.failures import as_unrenderable, corrupt
from service.imaging.geometry import Box, Plan, Size
from service.imaging.order import Reduction
from service.imaging.pixels import Step
from service.imaging.pixels.resample import resample
from service.imaging.reading.decode import MARGIN, MARGINS

SIDE = 1024
"""Pixels of its longer side, about: what a JPEG's shrink-on-load gives is taken as it is, if it is no smaller than
`NEAREST` of that and no larger than `_FARTHEST`."""
NEAREST, _FARTHEST = 0.9, 1.1
_QUALITY = 95
"""Of the JPEG that it is kept as, in 4:4:4 (`python -m tools.bench mezzanine` tells how like the renditions are)."""


def reduced_size(size: Size) -> Size:
    """The mezzanine's size, made of so many pixels."""
    longer = max(size)
    if longer <= _FARTHEST * SIDE:
        return size
    return max(1, round(size[0] * SIDE / longer)), max(1, round(size[1] * SIDE / longer))


@dataclass(frozen=True, slots=True)
class Mezzanine:
    """Its pixels (L or RGB), and the upright size of the original in pixels."""

    image: Image.Image
    original: Size

    @classmethod
    def decoded(cls, data: bytes, reduction: Reduction) -> Mezzanine:
        """What `encoded` has made, of that *reduction*. Raises `Unrenderable` for other bytes."""
        with as_unrenderable():
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
            if image.size != reduction.reduced or max(image.size) > _FARTHEST * SIDE or "progressive" in image.info:
                raise corrupt()
            image.load()
            return cls(image, reduction.original)

    def encoded(self) -> bytes:
        """The same as a file."""
        file = io.BytesIO()
        self.image.save(file, "JPEG", quality=_QUALITY, subsampling=0)
        return file.getvalue()

    @property
    def size(self) -> Size:
        """The upright size of the original in pixels. Renditions are planned from it."""
        return self.original

    @property
    def reduction(self) -> Reduction:
        """The sizes of the original and of the mezzanine."""
        return Reduction(self.original, self.image.size)

    def steps(self, plan: Plan) -> list[Step]:
        """Return the work on its pixels, up to the scaled size of *plan*."""
        return [
            lambda image: self._averaged(image, plan.ratio(self.original)),
            lambda image: resample(image, plan.scaled, self._within(image, plan.crop)),
        ]

    def _averaged(self, image: Image.Image, ratio: float) -> Image.Image:
        """Return *image*, averaged as far as shrink-on-load would reduce the original for that *ratio*.

        It is quicker, and without it the rendition would be sharper than one that is made from the original.
        """
        further = min(max(MARGINS), 1 / (MARGIN * ratio)) * max(image.size) / max(self.original)
        factor = 1
        while 2 * factor <= further * _FARTHEST:  # a mezzanine is larger than a whole fraction by up to that factor
            factor *= 2
        return image.reduce(factor) if factor > 1 else image

    def _within(self, image: Image.Image, crop: Box | None) -> Box:
        """Return where *crop*, a box on the original, is on *image*."""
        across, down = image.width / self.original[0], image.height / self.original[1]
        left, top, right, bottom = crop or (0, 0, *self.original)
        return left * across, top * down, min(image.width, right * across), min(image.height, bottom * down)
