"""Mezzanines: which originals have one, its pixels, and that renditions from it equal those from the original."""

from __future__ import annotations

import io
from functools import cache

import pytest
from PIL import Image, ImageChops, ImageCms, ImageStat

from service.formats import Fit, Format
from service.imaging.mezzanine import Mezzanine
from service.imaging.order import Limits, Order
from service.imaging.render import render, rendition
from service.imaging.source import Source
from tests.pixels import near, shown
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, animation, large, quarters, saved

SMALL = Order(Format.JPEG, width=64)
QUICKLY = {"PNG": {"compress_level": 1}, "WEBP": {"method": 0}}
"""Pillow's options to write a large file quickly."""


def mezzanine_of(data: bytes, order: Order = SMALL) -> Mezzanine | None:
    """Return the mezzanine after the render of *order*, encoded and decoded, or None."""
    source = Source(data, Limits())
    if not rendition(source, order).mezzanine_possible:
        return None
    made = source.mezzanine()
    return made and Mezzanine.decoded(made.encoded(), made.reduction)


def existing_mezzanine_of(data: bytes, order: Order = SMALL) -> Mezzanine:
    made = mezzanine_of(data, order)
    assert made is not None
    return made


@cache
def photograph(kind: str) -> bytes:
    """Return a large picture as a file of that *kind*."""
    return saved(large(), kind, **QUICKLY.get(kind, {}))


def difference(one: bytes, other: bytes) -> float:
    """Return the mean difference of the channel that differs most."""
    pixels = [shown(each).convert("RGB") for each in (one, other)]
    assert pixels[0].size == pixels[1].size
    return max(ImageStat.Stat(ImageChops.difference(*pixels)).mean)


@pytest.mark.parametrize("width", [16, 300, 700, 1800])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_mezzanine_has_about_1024_pixels_after_renditions_of_every_size(kind: str, width: int) -> None:
    made = existing_mezzanine_of(photograph(kind), Order(Format.JPEG, width=width))
    assert 900 <= max(made.image.size) <= 1130
    assert made.original == (2400, 1800)
    assert abs(made.image.width / made.image.height - 4 / 3) < 0.01


def test_mezzanine_decoded_with_a_small_rendition_is_the_same() -> None:
    data = saved(large(4000, 3000), "JPEG")
    apart, together = Source(data, Limits()), Source(data, Limits())
    small = [rendition(apart, SMALL), rendition(together, SMALL, with_mezzanine=True)]
    assert difference(small[0].data, small[1].data) < 4
    ones = [source.mezzanine() for source in (apart, together)]
    assert ones[0] is not None
    assert ones[1] is not None
    assert ones[0].image.size == (1000, 750)
    assert ones[0].image.tobytes() == ones[1].image.tobytes()


def test_small_animated_indexed_and_transparent_originals_have_no_mezzanine() -> None:
    clear = large()
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    for data in (
        saved(quarters(1800, 1350), "JPEG"),
        saved(quarters(2400, 1800).quantize(16), "PNG"),
        saved(clear, "PNG", **QUICKLY["PNG"]),
        saved(clear, "WEBP", **QUICKLY["WEBP"]),
        animation("GIF", side=2000),
        animation("PNG", side=2000),
    ):
        assert mezzanine_of(data) is None


def test_original_with_opaque_alpha_has_a_mezzanine() -> None:
    opaque = large().convert("RGBA")
    assert existing_mezzanine_of(saved(opaque, "PNG", **QUICKLY["PNG"])).image.mode == "RGB"


def test_mezzanine_of_grey_is_grey() -> None:
    assert existing_mezzanine_of(saved(large().convert("L"), "JPEG")).image.mode == "L"


@pytest.mark.parametrize("turn", range(1, 9))
def test_mezzanine_is_upright(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(large(2400, 1200), "JPEG", exif=exif)
    made = existing_mezzanine_of(data)
    assert made.original == ((1200, 2400) if turn >= 5 else (2400, 1200))
    order = Order(Format.PNG, width=100)
    assert difference(rendition(made, order).data, render(data, order).data) < 3


def test_mezzanine_is_in_srgb_and_has_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = "somewhere"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")  # red is green
    data = saved(large(), "JPEG", exif=exif, icc_profile=swapped, comment=b"a comment")
    made = existing_mezzanine_of(data)
    assert near(made.image.getpixel((100, 100)), GREEN, 60)
    file = made.encoded()
    assert set(Image.open(io.BytesIO(file)).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"somewhere" not in file
    assert b"a comment" not in file


@pytest.fixture(scope="module")
def odd() -> tuple[bytes, Mezzanine]:
    """An original whose sides have no common divisor with those of its mezzanine, and the mezzanine."""
    data = saved(large(2999, 2001), "JPEG", quality=92)
    return data, existing_mezzanine_of(data)


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize(("width", "height"), [(320, None), (None, 77), (300, 300), (37, 401), (1, 1)])
def test_rendition_from_mezzanine_equals_rendition_from_original(
    odd: tuple[bytes, Mezzanine], fit: Fit, width: int | None, height: int | None
) -> None:
    data, made = odd
    for kind in (Format.PNG, Format.WEBP):
        order = Order(kind, width, height, fit)
        ours, theirs = rendition(made, order), render(data, order)
        assert (ours.width, ours.height) == (theirs.width, theirs.height)
        assert difference(ours.data, theirs.data) < 4


def test_mezzanine_gives_many_renditions() -> None:
    made = existing_mezzanine_of(photograph("JPEG"))
    whole = Order(Format.GIF, *made.image.size)
    first = rendition(made, SMALL).data
    rendition(made, whole)
    assert rendition(made, SMALL).data == first
    colours = [shown(first).convert("RGB").getpixel(at) for at in ((9, 9), (54, 9), (9, 38), (54, 38))]
    assert all(near(seen, wanted, 40) for seen, wanted in zip(colours, (RED, GREEN, BLUE, YELLOW), strict=True))


@pytest.mark.parametrize(
    ("order", "served"),
    [
        (Order(Format.JPEG, width=600), True),
        (Order(Format.JPEG, width=700), False),
        (Order(Format.JPEG, height=480), True),
        (Order(Format.JPEG, 300, 300, Fit.COVER), True),
        (Order(Format.JPEG, 600, 600, Fit.COVER), False),  # the height has the larger scale
        (Order(Format.JPEG, 2000, 400, Fit.PAD), True),
        (Order(Format.JPEG), False),
    ],
)
def test_mezzanine_serves_orders_up_to_a_share_of_its_size(order: Order, served: bool) -> None:
    made = existing_mezzanine_of(photograph("JPEG"))
    assert made.reduction.serves(order) is served
