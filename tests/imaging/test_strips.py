"""Resampling in strips gives the pixels of resampling at once."""

from __future__ import annotations

from functools import lru_cache

import pytest
from PIL import Image, ImageChops

from service.imaging.pixels.resample import resample
from service.imaging.pixels.strips import resample_in_strips
from service.imaging.reading.decode import plain
from tests.pixels import rendered, shown
from tools.pictures.drawing import saved

WIDE, TALL = 2601, 2003  # above the size that is resampled at once


@lru_cache(maxsize=1)
def picture(mode: str) -> Image.Image:
    """Return a smooth picture with edges, half transparent in modes with alpha."""
    slope = Image.linear_gradient("L").resize((WIDE, TALL))
    rings = Image.radial_gradient("L").resize((WIDE, TALL))
    rings.paste(255, (WIDE // 3, TALL // 4, WIDE // 2, TALL // 2))
    image = Image.merge("RGB", [slope, rings, slope.rotate(180)])
    if mode in ("RGBA", "LA"):
        image.putalpha(rings)
    if mode == "key":
        image.info["transparency"] = image.getpixel((5, 5))
        return image
    return rings.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)


@pytest.mark.parametrize("size", [(300, 231), (1300, 1001), (2900, 2233), (1, 1), (2900, 3), (3, 2900)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "CMYK", "I;16", "key"])
def test_picture_in_strips_is_the_same(mode: str, size: tuple[int, int]) -> None:
    image = picture(mode)
    whole = resample(plain(image), size)
    strips = resample_in_strips(image, size, None, plain)
    assert (strips.mode, strips.size) == (whole.mode, whole.size)
    assert apart(whole, strips) <= 1


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_crop_in_strips_is_the_same(mode: str) -> None:
    image, box = picture(mode), (100.5, 700.25, 2500.75, 1900.5)
    for size in ((2500, 1250), (1500, 750), (300, 150)):
        assert apart(resample(plain(image), size, box), resample_in_strips(image, size, box, plain)) <= 3


def test_picture_of_the_target_size_is_unchanged() -> None:
    image = picture("RGBA")
    assert resample_in_strips(image, image.size, None, plain).tobytes() == image.tobytes()


def apart(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of the channel that differs most, in premultiplied alpha."""
    if one.mode in ("LA", "RGBA"):
        one, other = (each.convert("RGBA").convert("RGBa") for each in (one, other))
        one, other = (Image.frombytes("CMYK", each.size, each.tobytes()) for each in (one, other))
    histogram = ImageChops.difference(one, other).histogram()
    pixels = one.width * one.height
    return max(
        sum(step * count for step, count in enumerate(histogram[at : at + 256])) / pixels
        for at in range(0, len(histogram), 256)
    )


@lru_cache(maxsize=1)
def white(mode: str) -> bytes:
    return saved(Image.new(mode, (4032, 3024), "white"), "PNG", compress_level=1)


@pytest.mark.parametrize("side", [1, 2, 4, 8])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_white_stays_white_at_the_smallest_sizes(mode: str, side: int) -> None:
    """Pillow's averaging of ten thousand pixels or more to one makes white grey and opaque pixels transparent."""
    made = shown(rendered(white(mode), "PNG", side).data)
    assert made.mode == ("L" if mode == "L" else "RGB")
    assert made.convert("L").getextrema() == (255, 255)
