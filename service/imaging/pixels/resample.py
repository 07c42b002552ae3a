"""Pixels to fewer or more pixels: one pass, in premultiplied alpha. Knows no files and no colour spaces."""

from __future__ import annotations

import math

from PIL import Image

from service.imaging.geometry import Box, Size

_PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}
_STRAIGHT = {weighed: mode for mode, weighed in _PREMULTIPLIED.items()}
REDUCING_GAP = 1.4
"""Whole-number averaging may go down to this many times the target, before Lanczos does the rest. It costs a third of
what Lanczos does; an SSIM of 0.9965 in the median, 0.978 at worst (`python -m tools.bench shrink`)."""
_LARGEST_BLOCK = 16_384
"""Pixels averaged to one. Pillow multiplies by a whole number where it ought to divide, and what it averages of larger
blocks is too dark: of 2,880 x 2,160 pixels of white, 212."""


def reducing_gap(box: Box, size: Size) -> float:
    """How many times *size* averaging may leave of *box*."""
    block = (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])
    return max(REDUCING_GAP, math.sqrt(block / _LARGEST_BLOCK))


def premultiplied(image: Image.Image) -> Image.Image:
    """*image* with its colours weighed by how opaque they are; itself, if it has no alpha."""
    return image.convert(_PREMULTIPLIED[image.mode]) if image.mode in _PREMULTIPLIED else image


def straight(image: Image.Image) -> Image.Image:
    """What `premultiplied` was given."""
    return image.convert(_STRAIGHT[image.mode]) if image.mode in _STRAIGHT else image


def resample(image: Image.Image, size: Size, box: Box | None = None) -> Image.Image:
    """The part of *image* within *box* (all of it, if None) at *size* pixels.

    Colours weigh as much as they are opaque, or the hidden colour of transparent pixels would bleed into the edges.
    """
    if image.size == size and (box is None or box == (0, 0, *size)):
        return image
    if image.mode in _PREMULTIPLIED and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert(image.mode[:-1])
    gap = reducing_gap(box or (0, 0, *image.size), size)
    return straight(premultiplied(image).resize(size, Image.Resampling.LANCZOS, box, gap))
