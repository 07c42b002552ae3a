"""What stands in for a missing picture: its size, its look, and that it is drawn and not scaled."""

from __future__ import annotations

import pytest
from PIL import Image

from service.formats import WRITABLE, Format, IfBlank
from service.imaging.drawing.placeholders import draw
from service.imaging.order import Blank
from tests.pictures_in_code import near, shown

DRAWN = [kind for kind in IfBlank if kind is not IfBlank.NULL]
WORDS = "NO PHOTO"


def look(kind: IfBlank, width: int, height: int, format: Format = Format.PNG, text: str = WORDS) -> Image.Image:
    return shown(draw(Blank(kind, width, height, format, text)))


def on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white.convert("L")


def ink(image: Image.Image, below: int = 200) -> tuple[int, int, int, int] | None:
    return on_white(image).point(lambda value: 255 if value < below else 0).getbbox()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16), (128, 128), (300, 40), (1, 500), (500, 1)])
@pytest.mark.parametrize("format", WRITABLE)
@pytest.mark.parametrize("kind", DRAWN)
def test_exactly_the_size_in_every_format(kind, format, size):
    image = look(kind, *size, format)
    assert (image.size, image.format) == (size, format.name)
    if not format.alpha and kind is IfBlank.CLEAR_PIXEL:
        assert image.convert("L").getextrema()[0] >= 254


@pytest.mark.parametrize("format", [each for each in WRITABLE if each.alpha])
def test_the_clear_pixel_is_clear(format):
    assert look(IfBlank.CLEAR_PIXEL, 3, 2, format).convert("RGBA").getextrema()[3] == (0, 0)


def test_the_clear_pixel_as_gif_is_small():
    assert len(draw(Blank(IfBlank.CLEAR_PIXEL, 1, 1, Format.GIF))) < 60


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (400, 100), (90, 300), (1000, 700)])
@pytest.mark.parametrize("text", [WORDS, "Kein Foto", "BRAK ZDJĘCIA", "Пусто", "Ei kuvaa", "KHÔNG CÓ ẢNH"])
def test_words_are_grey_centred_and_never_cut(text, size):
    image = on_white(look(IfBlank.SR_NO_PHOTO, *size, text=text))
    left, top, right, bottom = ink(image)
    assert left >= 2 and top >= 2 and right <= size[0] - 2 and bottom <= size[1] - 2
    assert abs(left - (size[0] - right)) <= 4 and abs(top - (size[1] - bottom)) <= 4
    assert abs(image.getextrema()[0] - 0x80) <= 16 and image.getextrema()[1] == 255
    assert max((right - left) / size[0], (bottom - top) / size[1]) > 0.3


def test_the_border_runs_around():
    for size in ((128, 128), (300, 50)):
        image = on_white(look(IfBlank.SR_NO_PHOTO_WITH_BORDER, *size))
        assert {image.getpixel((x, y)) for x in range(size[0]) for y in (0, size[1] - 1)} == {0x80}
        assert {image.getpixel((x, y)) for x in (0, size[0] - 1) for y in range(size[1])} == {0x80}
    assert on_white(look(IfBlank.SR_NO_PHOTO, 128, 128)).getpixel((0, 0)) == 255


def test_a_script_without_glyphs_and_no_words_at_all_are_drawn_too():
    assert ink(look(IfBlank.SR_NO_PHOTO, 128, 128, text="写真なし")) is not None
    assert ink(look(IfBlank.SR_NO_PHOTO, 128, 128, text="")) is None
    assert ink(look(IfBlank.SR_NO_PHOTO, 128, 128, text="x" * 300)) is not None


@pytest.mark.parametrize("side", [8, 4, 2, 1])
def test_what_is_too_small_to_read_is_still_not_blank(side):
    for kind in (IfBlank.SR_NO_PHOTO, IfBlank.DEFAULT, IfBlank.GENERIC_FILE_ICON):
        assert on_white(look(kind, side, side)).getextrema()[0] < 250


def test_the_silhouette_is_a_head_over_shoulders():
    image = look(IfBlank.DEFAULT, 200, 200)
    alpha = image.getchannel("A")
    assert alpha.getpixel((100, 70)) == 255 == alpha.getpixel((100, 190))
    assert alpha.getpixel((3, 3)) == 0 == alpha.getpixel((20, 70))
    widths = [sum(alpha.getpixel((x, y)) > 127 for x in range(200)) for y in (70, 122, 195)]
    assert widths[1] < widths[0] < widths[2]
    assert near(alpha.tobytes(), alpha.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes(), 40)


def test_the_page_has_a_folded_corner():
    image = on_white(look(IfBlank.GENERIC_FILE_ICON, 200, 200))
    left, top, right, bottom = ink(image)
    assert bottom - top > right - left
    assert image.getpixel((left + 6, top + 2)) < 200 and image.getpixel((right - 6, top + 4)) == 255


@pytest.mark.parametrize("kind", [IfBlank.DEFAULT, IfBlank.SR_NO_PHOTO, IfBlank.GENERIC_FILE_ICON])
def test_large_ones_are_drawn_and_not_scaled(kind):
    """At a thousand pixels an edge is still no wider than a few: an enlarged bitmap's would be."""
    image = on_white(look(kind, 1024, 1024))
    levels = image.histogram()
    between = sum(count for level, count in enumerate(levels) if count < 3000 and level not in (0x80, 0xA0, 0xF6, 255))
    assert between < 16_000
    small = on_white(look(kind, 128, 128)).tobytes()
    shrunk = image.resize((128, 128), Image.Resampling.BOX).tobytes()
    assert sum(abs(a - b) for a, b in zip(small, shrunk, strict=True)) / len(small) < 4


def test_the_largest():
    assert look(IfBlank.DEFAULT, 4096, 4096).size == (4096, 4096)
    assert look(IfBlank.SR_NO_PHOTO_WITH_BORDER, 4096, 1).size == (4096, 1)
