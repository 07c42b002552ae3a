"""The mezzanine: a reduced copy of a large original, upright, opaque and in sRGB, from which small renditions are made.

This module does not know where mezzanines are stored.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

from service.imaging.errors import as_unrenderable, corrupt
from service.imaging.geometry import Box, Plan, Size
from service.imaging.order import Reduction
from service.imaging.pixels import Step
from service.imaging.pixels.resample import resample
from service.imaging.reading.decode import MARGIN, MARGINS

SIDE = 1024
"""Pixels of the longer side of a mezzanine that is resampled."""
LEAST_SHARE = 0.9
"""The least share of `SIDE` at which a JPEG that is decoded at a fraction of its size is not resampled again."""
_LARGEST_SHARE = 1.1
"""The largest share of `SIDE` at which it is not resampled again."""
_QUALITY = 95
"""The quality of the stored JPEG, in 4:4:4. `python -m tools.bench mezzanine` measures the SSIM of the renditions."""


def reduced_size(size: Size) -> Size:
    """Return the size of the mezzanine that is made from decoded pixels of this *size*."""
    longer = max(size)
    if longer <= _LARGEST_SHARE * SIDE:
        return size
    return max(1, round(size[0] * SIDE / longer)), max(1, round(size[1] * SIDE / longer))


@dataclass(frozen=True, slots=True)
class Mezzanine:
    """The pixels (L or RGB) of a mezzanine, and the upright size of its original in pixels."""

    image: Image.Image
    original: Size

    @classmethod
    def decoded(cls, data: bytes, reduction: Reduction) -> Mezzanine:
        """Return the mezzanine in the file *data*. Raise `Unrenderable` for bytes that do not fit *reduction*."""
        with as_unrenderable():
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
            too_large = max(image.size) > _LARGEST_SHARE * SIDE
            if image.size != reduction.reduced or too_large or "progressive" in image.info:
                raise corrupt()
            image.load()
            return cls(image, reduction.original)

    def encoded(self) -> bytes:
        """Return the mezzanine as a file."""
        file = io.BytesIO()
        self.image.save(file, "JPEG", quality=_QUALITY, subsampling=0)
        return file.getvalue()

    @property
    def size(self) -> Size:
        """The upright size of the original in pixels, from which renditions are planned."""
        return self.original

    @property
    def reduction(self) -> Reduction:
        """The sizes of the original and of the mezzanine."""
        return Reduction(self.original, self.image.size)

    def steps(self, plan: Plan) -> list[Step]:
        """Return the work on the pixels, up to the scaled size of *plan*."""
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
        # A mezzanine is larger than a whole fraction of its original by up to `_LARGEST_SHARE`.
        while 2 * factor <= further * _LARGEST_SHARE:
            factor *= 2
        return image.reduce(factor) if factor > 1 else image

    def _within(self, image: Image.Image, crop: Box | None) -> Box:
        """Return where *crop*, a box on the original, is on *image*."""
        across, down = image.width / self.original[0], image.height / self.original[1]
        left, top, right, bottom = crop or (0, 0, *self.original)
        return left * across, top * down, min(image.width, right * across), min(image.height, bottom * down)
