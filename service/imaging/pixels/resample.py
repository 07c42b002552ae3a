"""Pixels to fewer or more pixels: one pass, in premultiplied alpha. Knows no files and no colour spaces."""

from __future__ import annotations

from PIL import Image

from service.imaging.geometry import Box, Size

_PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}
REDUCING_GAP = 1.4
"""Whole-number averaging may go down to this many times the target, before Lanczos does the rest. It costs a third of
what Lanczos does; an SSIM of 0.9965 in the median, 0.978 at worst (`python -m tests.bench shrink`)."""


def resample(image: Image.Image, size: Size, box: Box | None = None) -> Image.Image:
    """The part of *image* within *box* (all of it, if None) at *size* pixels.

    Colours weigh as much as they are opaque, or the hidden colour of transparent pixels would bleed into the edges.
    """
    if image.size == size and (box is None or box == (0, 0, *size)):
        return image
    mode = image.mode
    if mode in _PREMULTIPLIED and image.getchannel("A").getextrema() == (255, 255):
        image, mode = image.convert(mode[:-1]), mode[:-1]
    if mode not in _PREMULTIPLIED:
        return image.resize(size, Image.Resampling.LANCZOS, box, REDUCING_GAP)
    weighed = image.convert(_PREMULTIPLIED[mode])
    return weighed.resize(size, Image.Resampling.LANCZOS, box, REDUCING_GAP).convert(mode)
