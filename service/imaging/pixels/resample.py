"""Resampling of a picture to another size, in premultiplied alpha."""

from __future__ import annotations

import math

from PIL import Image

from service.imaging.geometry import Box, Size

_PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}
_STRAIGHT = {weighed: mode for mode, weighed in _PREMULTIPLIED.items()}
REDUCING_GAP = 1.4
"""The least multiple of the target size that averaging over blocks of pixels may give. Lanczos does the rest. Together
they take a third of the time of Lanczos alone. The SSIM is 0.9965 in the median and 0.978 at worst
(`python -m tools.bench shrink`)."""
BICUBIC_FROM = 1.75
"""The least multiple of the target size, after that averaging, from which Lanczos is replaced by the bicubic filter. It
takes two thirds of the time. After a decode at 1/2 the SSIM is 0.995 in the median and 0.982 at worst
(the same command)."""
_LARGEST_BLOCK = 16_384
"""Pixels that are averaged to one at most. Pillow multiplies by a whole number instead of dividing, so that larger
blocks become too dark: 2,880 x 2,160 white pixels become 212."""


def reducing_gap(box: Box, size: Size) -> float:
    """Return the least multiple of *size* that averaging may give of *box*."""
    block = (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])
    return max(REDUCING_GAP, math.sqrt(block / _LARGEST_BLOCK))


def kernel(box: Box, size: Size) -> Image.Resampling:
    """Return the filter that makes *size* of *box*, after the averaging over blocks of pixels."""
    gap = reducing_gap(box, size)
    across, down = (box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]
    left = min(across / max(1, int(across / gap)), down / max(1, int(down / gap)))
    return Image.Resampling.LANCZOS if left < BICUBIC_FROM else Image.Resampling.BICUBIC


def premultiplied(image: Image.Image) -> Image.Image:
    """Return *image* with its colours multiplied by its alpha, or *image* if it has no alpha."""
    return image.convert(_PREMULTIPLIED[image.mode]) if image.mode in _PREMULTIPLIED else image


def straight(image: Image.Image) -> Image.Image:
    """Return the inverse of `premultiplied`."""
    return image.convert(_STRAIGHT[image.mode]) if image.mode in _STRAIGHT else image


def resample(image: Image.Image, size: Size, box: Box | None = None) -> Image.Image:
    """Return the part of *image* within *box*, or all of it, at *size* pixels.

    Colours are multiplied by alpha. Otherwise the colour of transparent pixels would be visible at edges.
    """
    if image.size == size and (box is None or box == (0, 0, *size)):
        return image
    if image.mode in _PREMULTIPLIED and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert(image.mode[:-1])
    box = box or (0, 0, *image.size)
    return straight(premultiplied(image).resize(size, kernel(box, size), box, reducing_gap(box, size)))


def sampled(image: Image.Image, side: int) -> Image.Image:
    """Return *image*, the longer side of which is reduced to *side* pixels by leaving out pixels.

    That takes the same time for a picture of any size, where averaging reads all of its pixels.
    """
    share = side / max(image.size)
    if share >= 1:
        return image
    width, height = (max(1, round(each * share)) for each in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST)
