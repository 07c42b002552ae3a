"""The mezzanine: what leaves one, what it looks like, and that renditions from it are those of the original."""

from __future__ import annotations

import io
from functools import cache

import pytest
from PIL import Image, ImageChops, ImageCms, ImageStat

from service.formats import Fit, Format
from service.imaging.mezzanine import Mezzanine
from service.imaging.order import Limits, Order
from service.imaging.render import render
from service.imaging.source import Source
from tests.pictures_in_code import BLUE, GREEN, RED, YELLOW, animation, large, near, quarters, saved, shown

SMALL = Order(Format.JPEG, width=64)
QUICKLY = {"PNG": {"compress_level": 1}, "WEBP": {"method": 0}}
"""How a large file is written in little time."""


def left_by(data: bytes, order: Order = SMALL) -> Mezzanine | None:
    """What the first render of *data*, by *order*, leaves; by way of its file."""
    source = Source(data, Limits())
    if not source.render(order).mezzanine_possible:
        return None
    made = source.mezzanine()
    return made and Mezzanine.decoded(made.encoded(), made.reduction)


def certainly_left_by(data: bytes, order: Order = SMALL) -> Mezzanine:
    made = left_by(data, order)
    assert made is not None
    return made


@cache
def photograph(kind: str) -> bytes:
    """A large picture as a file of that *kind*."""
    return saved(large(), kind, **QUICKLY.get(kind, {}))


def difference(one: bytes, other: bytes) -> float:
    """The mean over the channels of what the pixels differ by."""
    pixels = [shown(each).convert("RGB") for each in (one, other)]
    assert pixels[0].size == pixels[1].size
    return max(ImageStat.Stat(ImageChops.difference(*pixels)).mean)


@pytest.mark.parametrize("width", [16, 300, 700, 1800])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_a_large_original_leaves_one_of_about_1024_pixels_whatever_was_asked_first(kind: str, width: int) -> None:
    made = certainly_left_by(photograph(kind), Order(Format.JPEG, width=width))
    assert 900 <= max(made.image.size) <= 1130
    assert made.original == (2400, 1800)
    assert abs(made.image.width / made.image.height - 4 / 3) < 0.01


def test_one_decoded_together_with_a_small_rendition_is_the_same() -> None:
    data = saved(large(4000, 3000), "JPEG")
    apart, together = Source(data, Limits()), Source(data, Limits())
    small = [apart.render(SMALL), together.render(SMALL, with_mezzanine=True)]
    assert difference(small[0].data, small[1].data) < 4
    ones = [source.mezzanine() for source in (apart, together)]
    assert ones[0] is not None
    assert ones[1] is not None
    assert ones[0].image.size == (1000, 750)
    assert ones[0].image.tobytes() == ones[1].image.tobytes()


def test_small_moving_indexed_and_transparent_ones_leave_none() -> None:
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
        assert left_by(data) is None


def test_alpha_that_is_nowhere_used_does_not_stand_in_its_way() -> None:
    opaque = large().convert("RGBA")
    assert certainly_left_by(saved(opaque, "PNG", **QUICKLY["PNG"])).image.mode == "RGB"


def test_grey_stays_grey() -> None:
    assert certainly_left_by(saved(large().convert("L"), "JPEG")).image.mode == "L"


@pytest.mark.parametrize("turn", range(1, 9))
def test_it_is_upright_already(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(large(2400, 1200), "JPEG", exif=exif)
    made = certainly_left_by(data)
    assert made.original == ((1200, 2400) if turn >= 5 else (2400, 1200))
    order = Order(Format.PNG, width=100)
    assert difference(made.render(order).data, render(data, order).data) < 3


def test_its_colours_are_converted_already_and_nothing_else_is_in_it() -> None:
    exif = Image.Exif()
    exif[0x010E] = "somewhere"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")  # red is green
    data = saved(large(), "JPEG", exif=exif, icc_profile=swapped, comment=b"of whom")
    made = certainly_left_by(data)
    assert near(made.image.getpixel((100, 100)), GREEN, 60)
    file = made.encoded()
    assert set(Image.open(io.BytesIO(file)).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"somewhere" not in file
    assert b"of whom" not in file


@pytest.fixture(scope="module")
def odd() -> tuple[bytes, Mezzanine]:
    """A photograph whose sides have no divisor in common with those of what it leaves, and that."""
    data = saved(large(2999, 2001), "JPEG", quality=92)
    return data, certainly_left_by(data)


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize(("width", "height"), [(320, None), (None, 77), (300, 300), (37, 401), (1, 1)])
def test_a_rendition_from_it_has_the_size_and_the_looks_of_one_from_the_original(
    odd: tuple[bytes, Mezzanine], fit: Fit, width: int | None, height: int | None
) -> None:
    data, made = odd
    for kind in (Format.PNG, Format.WEBP):
        order = Order(kind, width, height, fit)
        ours, theirs = made.render(order), render(data, order)
        assert (ours.width, ours.height) == (theirs.width, theirs.height)
        assert difference(ours.data, theirs.data) < 4


def test_it_can_be_used_again_and_again() -> None:
    made = certainly_left_by(photograph("JPEG"))
    whole = Order(Format.GIF, *made.image.size)
    first = made.render(SMALL).data
    made.render(whole)
    assert made.render(SMALL).data == first
    corners = [shown(first).convert("RGB").getpixel(at) for at in ((9, 9), (54, 9), (9, 38), (54, 38))]
    assert all(near(seen, wanted, 40) for seen, wanted in zip(corners, (RED, GREEN, BLUE, YELLOW), strict=True))


@pytest.mark.parametrize(
    ("order", "served"),
    [
        (Order(Format.JPEG, width=600), True),
        (Order(Format.JPEG, width=700), False),
        (Order(Format.JPEG, height=480), True),
        (Order(Format.JPEG, 300, 300, Fit.COVER), True),
        (Order(Format.JPEG, 600, 600, Fit.COVER), False),  # the height is scaled down less
        (Order(Format.JPEG, 2000, 400, Fit.PAD), True),
        (Order(Format.JPEG), False),
    ],
)
def test_it_serves_up_to_a_share_of_its_own_size(order: Order, served: bool) -> None:
    made = certainly_left_by(photograph("JPEG"))
    assert made.reduction.serves(order) is served
