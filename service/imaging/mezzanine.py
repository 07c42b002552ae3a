"""The mezzanine: a reduced master of a large original (upright, opaque, in sRGB) that smaller renditions are made of.

Knows nothing of where it is kept.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

from service.imaging.failures import as_unrenderable, corrupt, writing
from service.imaging.geometry import Size
from service.imaging.order import Order, Reduction, Rendered
from service.imaging.pixels.canvas import laid
from service.imaging.pixels.resample import resample
from service.imaging.reading.decode import MARGIN, MARGINS
from service.imaging.writing.encode import encode_still

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
    def reduction(self) -> Reduction:
        """What has become of what."""
        return Reduction(self.original, self.image.size)

    def render(self, order: Order) -> Rendered:
        """The rendition that *order* asks for: of the size that the original would give, and as good as from it."""
        with as_unrenderable():
            made = order.plan(self.original)
            pixels = self._averaged(made.ratio(self.original))
            across, down = pixels.width / self.original[0], pixels.height / self.original[1]
            left, top, right, bottom = made.crop or (0, 0, *self.original)
            box = (left * across, top * down, min(pixels.width, right * across), min(pixels.height, bottom * down))
            small = laid(resample(pixels, made.scaled, box), made, order.format)
            with writing(order.format):
                data = encode_still(small, order.format, order.encoding)
            return Rendered(data, *made.size, frames=1, first_frame=False)

    def _averaged(self, ratio: float) -> Image.Image:
        """The pixels, averaged as far as shrink-on-load would have gone for that *ratio*: it is quicker, and else the
        rendition would be sharper than one made from the original."""
        further = min(max(MARGINS), 1 / (MARGIN * ratio)) * max(self.image.size) / max(self.original)
        factor = 1
        while 2 * factor <= further * _FARTHEST:  # a mezzanine is that much larger than a whole fraction at most
            factor *= 2
        return self.image.reduce(factor) if factor > 1 else self.image
