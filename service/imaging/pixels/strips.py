"""Resampling of large pictures, some rows at a time.

The memory does not hold a second picture of 50 megapixels. The converted pixels (true colour, premultiplied alpha) and
those between the two passes of a resampling are held for one strip of rows only.
"""

from __future__ import annotations

import math

from PIL import Image

from service.imaging.geometry import Box, Size
from service.imaging.pixels import Step
from service.imaging.pixels.resample import kernel, premultiplied, reducing_gap, resample, straight

_ROOM = 4_000_000
"""Pixels of one strip at most. A picture that is no larger is resampled at once."""
_SUPPORT = 3
"""Pixels on either side that Lanczos uses, of the source or of the target, whichever pixels are larger. The bicubic
filter uses fewer."""


def resample_in_strips(image: Image.Image, size: Size, box: Box | None, plain: Step) -> Image.Image:
    """Return what `resample` returns for ``plain(image)``. The last bit of a sample may differ."""

    def weighed(part: Image.Image) -> Image.Image:
        return premultiplied(plain(part))

    left, top, right, bottom = box or (0.0, 0.0, float(image.width), float(image.height))
    converted = weighed(image.crop((0, 0, 1, 1))).mode != image.mode
    beside = max(image.width * image.height * converted, size[0] * int(bottom - top) // 4)
    if image.size == size or beside <= _ROOM:
        return resample(plain(image), size, box)
    whole = left, top, right, bottom
    gap, filter = reducing_gap(whole, size), kernel(whole, size)
    across, down = max(1, int((right - left) / size[0] / gap)), max(1, int((bottom - top) / size[1] / gap))
    if (across, down) == (1, 1):
        small = _scaled(image, size, whole, weighed, filter)
    else:
        reduced = _reduced(image, across, down, weighed)
        within = (left / across, top / down, min(right / across, reduced.width), min(bottom / down, reduced.height))
        small = _scaled(reduced, size, within, lambda part: part, filter)
    return straight(small)


def _reduced(image: Image.Image, across: int, down: int, weighed: Step) -> Image.Image:
    """Return *image* with each block of *across* x *down* pixels averaged to one."""
    made: Image.Image | None = None
    rows = max(1, _ROOM // image.width // down)
    for row in range(0, math.ceil(image.height / down), rows):
        strip = image.crop((0, row * down, image.width, min(image.height, (row + rows) * down)))
        part = weighed(strip).reduce((across, down))
        if made is None:
            made = Image.new(part.mode, (part.width, math.ceil(image.height / down)))
        made.paste(part, (0, row))
    assert made is not None
    return made


def _scaled(image: Image.Image, size: Size, box: Box, weighed: Step, filter: Image.Resampling) -> Image.Image:
    """Return *box* of *image* at *size*. Each strip is resampled with the rows around it that affect it."""
    left, top, right, bottom = box
    width, height = size
    step = (bottom - top) / height
    reach = _SUPPORT * max(1.0, step) + 1
    rows = max(1, min(_ROOM // width, int(_ROOM / max(image.width, width) / step)))
    made: Image.Image | None = None
    for row in range(0, height, rows):
        count = min(rows, height - row)
        begin, end = top + row * step, min(bottom, top + (row + count) * step)
        above, below = max(0, math.floor(begin - reach)), min(image.height, math.ceil(end + reach))
        part = weighed(image.crop((0, above, image.width, below)))
        part = part.resize((width, count), filter, (left, begin - above, right, end - above))
        if made is None:
            made = Image.new(part.mode, size)
        made.paste(part, (0, row))
    assert made is not None
    return made
