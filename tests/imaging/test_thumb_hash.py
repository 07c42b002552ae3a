"""The ThumbHash of a picture (https://evanw.github.io/thumbhash/), and from which pixels a render makes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.formats import Fit, Format
from service.imaging.mezzanine import Mezzanine
from service.imaging.order import THUMB_HASH, Limits, Order
from service.imaging.render import render, rendition
from service.imaging.source import Source
from service.imaging.thumb_hash import thumb_hash
from tests.conftest import examples
from tests.thumb_hashes import Colour, ThumbHash
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, animation, large, quarters, saved, see_through

ORDER = Order(Format.JPEG, 90, 70, thumb_hash=True)


def drawn(mode: str, width: int, height: int) -> Image.Image:
    """Return a picture in which no term of the transform is zero: there, rounding decides the last bit."""
    image = Image.new(mode, (width, height))
    for x, y in ((x, y) for y in range(height) for x in range(width)):
        factors = (3, 1, 2), (1, 4, 3), (2, 2, 5), (1, 1, 1)
        red, green, blue, alpha = ((a * x * x + b * y * y + c * x * y) // 8 % 256 for a, b, c in factors)
        values = {"L": red, "LA": (red, alpha), "RGB": (red, green, blue), "RGBA": (red, green, blue, alpha)}
        image.putpixel((x, y), values[mode])
    return image


# Made by thumbhash 0.1.1 from npm, which is the published code.
@pytest.mark.parametrize(
    ("mode", "width", "height", "expected"),
    [
        ("RGB", 32, 24, "2/cJDYhAh3Yyl3d1mXaId3HVMKDa"),
        ("RGB", 24, 32, "2/cJDQhhhyCIR6dWiZh3eGCxC6P1"),
        ("RGB", 32, 32, "3PcJDwZAd5cglWhkqWaYiIh3BwM4BHgN"),
        ("RGBA", 32, 21, "H/iBA4IlYrVz96bg8VSAm5CHg4h4eIg="),
        ("RGBA", 20, 32, "3/eBAwIkVUM9b5kRoEqQhISHgIeJeIg="),
        ("L", 32, 30, "GwgKB4AQhodDtlmXmHN3h4d3BwAAAAAA"),
        ("LA", 32, 9, "HQiGAYAjNl+HmHgAAAAAAJCHhoh4eIg="),
        ("RGB", 32, 5, "UjcSGYxwaYh3eIiHX7ZokHY="),
        ("RGB", 9, 7, "w/cFBYKQh4eRiIh4iHeIiH9NKPpn"),
        ("RGBA", 100, 75, "4PeBBIAHauJpRUL0UH/4vXAVERMQEiEzBw=="),
    ],
)
def test_hash_is_that_of_the_published_code(mode: str, width: int, height: int, expected: str) -> None:
    assert thumb_hash(drawn(mode, width, height)) == expected


@examples(100)
@given(st.data())
def test_every_small_picture_has_a_hash_of_bounded_length(data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(["L", "LA", "RGB", "RGBA"]))
    size = data.draw(st.integers(1, 32)), data.draw(st.integers(1, 32))
    count = len(mode) * size[0] * size[1]
    pixels = data.draw(st.one_of(st.binary(min_size=count, max_size=count), st.sampled_from([b"\0", b"\xff", b"\x80"])))
    made = thumb_hash(Image.frombytes(mode, size, pixels if len(pixels) == count else pixels * count))
    assert THUMB_HASH.fullmatch(made)
    ThumbHash(made)


def hashed(data: bytes, order: Order = ORDER) -> ThumbHash:
    return ThumbHash(render(data, order).thumb_hash)


def is_nearest(shown: Colour, expected: tuple[int, int, int]) -> bool:
    """Return whether *expected* is the one of the four colours that *shown* is nearest to."""

    def distance(colour: tuple[int, int, int]) -> float:
        return sum((a - b) ** 2 for a, b in zip(shown, colour, strict=False))

    return min((RED, GREEN, BLUE, YELLOW), key=distance) == expected


def shows_quarters(made: ThumbHash) -> bool:
    return all(map(is_nearest, made.quarters, (RED, GREEN, BLUE, YELLOW)))


def turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(image.rotate(90, expand=True), "JPEG", exif=exif)


FILES = {
    "jpeg": saved(quarters(160, 120), "JPEG"),
    "large jpeg": saved(large(), "JPEG"),
    "turned": turned(quarters(160, 120)),
    "large turned": turned(large(1600, 1200)),
    "png": saved(quarters(1200, 900), "PNG"),
    "palette": saved(quarters(1200, 900, "P"), "PNG"),
    "gif": saved(quarters(1200, 900, "P"), "GIF"),
    "webp": saved(quarters(160, 120), "WEBP"),
    "tiff": saved(quarters(1200, 900), "TIFF"),
    "cmyk": saved(quarters(1200, 900, "CMYK"), "TIFF"),
    "small": saved(quarters(8, 6), "PNG"),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_hash_shows_the_picture_upright(data: bytes) -> None:
    made = hashed(data)
    assert shows_quarters(made)
    assert made.landscape
    assert not made.alpha
    assert abs(made.ratio - 4 / 3) < 0.15


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 10, "height": 90, "fit": Fit.COVER},
        {"width": 300, "height": 90, "fit": Fit.PAD, "background": "00ffff"},
        {"width": 10, "height": 90, "fit": Fit.FILL},
        {"width": 700, "height": None},
        {"format": Format.GIF},
    ],
)
def test_hash_is_of_the_whole_picture_whatever_is_shown_of_it(changes: dict[str, Any]) -> None:
    made = hashed(FILES["large jpeg"], replace(ORDER, **changes))
    assert shows_quarters(made)
    assert abs(made.ratio - 4 / 3) < 0.15


@pytest.mark.parametrize("kind", [Format.PNG, Format.JPEG])
def test_hash_of_a_transparent_picture_has_alpha_whatever_the_format(kind: Format) -> None:
    made = hashed(saved(see_through(640, 480), "PNG"), replace(ORDER, format=kind, background="0000ff"))
    assert made.alpha
    (*left, opacity), (*_, empty) = made.at(0.2, 0.5), made.at(0.8, 0.5)
    assert is_nearest((*left, opacity), RED)
    assert opacity > 200
    assert empty < 55


def test_hash_of_16_bit_grey_is_as_bright_as_the_picture() -> None:
    grey = Image.new("I;16", (900, 600), 0xC000)
    assert all(abs(value - 0xC0) < 6 for value in hashed(saved(grey, "PNG")).at(0.5, 0.5)[:3])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("to", [Format.GIF, Format.WEBP, Format.JPEG])
@pytest.mark.parametrize("most", [200, 1])
def test_hash_of_an_animation_is_that_of_its_first_frame(kind: str, to: Format, most: int) -> None:
    limits = Limits(max_frames=most)
    made = hashed(animation(kind, side=64), Order(to, 20, limits=limits, thumb_hash=True))
    assert all(is_nearest(each, RED) for each in made.quarters)


def test_mezzanine_gives_the_hash_too() -> None:
    source = Source(FILES["large jpeg"], Limits())
    rendition(source, replace(ORDER, thumb_hash=False), with_mezzanine=True)
    mezzanine = source.mezzanine()
    assert mezzanine is not None
    decoded = Mezzanine.decoded(mezzanine.encoded(), mezzanine.reduction)
    assert shows_quarters(ThumbHash(rendition(decoded, ORDER).thumb_hash))


def test_extreme_proportions_have_a_hash() -> None:
    for size in ((5000, 1), (1, 5000), (1, 1)):
        assert hashed(saved(Image.new("RGB", size, RED), "PNG"))


def test_rendition_is_the_same_with_a_hash_and_has_none_unless_ordered() -> None:
    for data in FILES.values():
        plain, with_hash = render(data, replace(ORDER, thumb_hash=False)), render(data, ORDER)
        assert plain.thumb_hash == ""
        assert plain == replace(with_hash, thumb_hash="")
