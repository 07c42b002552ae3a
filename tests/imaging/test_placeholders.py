"""Placeholders: their size, their words and shapes, in every format (docs/contract.md, section 4)."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.formats import WRITABLE, Format, IfBlank, Initials
from service.imaging.drawing import lettering
from service.imaging.drawing.placeholders import draw
from service.imaging.order import Placeholder
from service.protocol.languages import NO_PHOTO, Languages
from tests.pixels import near, shown

DRAWN = [kind for kind in IfBlank if kind is not IfBlank.NULL]
WORDS = "NO PHOTO"
FONTS = Path(lettering.__file__).with_name("fonts")
LANGUAGES = Languages.load()
WORDS_BY_LANGUAGE = {language: LANGUAGES.words(NO_PHOTO, {}, language) for language in ["en", *LANGUAGES.catalogues]}
"""The words of a placeholder, by language."""
OTHER_WORDS = ("Kein Foto", "Brak zdjęcia", "Пусто", "Nenhuma fotografia à vista")
LETTERS = 0x80 + 16
"""Grey level. Letters have darker pixels, and the bars in place of letters have none."""


def drawn(kind: IfBlank, width: int, height: int, format: Format = Format.PNG, text: str = WORDS) -> Image.Image:
    initials = Initials("ÅB", 3) if kind is IfBlank.INITIALS else None
    return shown(draw(Placeholder(kind, width, height, format, text, initials=initials)))


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
def test_placeholder_has_its_size_in_every_format(kind, format, size):
    image = drawn(kind, *size, format)
    assert (image.size, image.format) == (size, format.name)
    if not format.alpha and kind is IfBlank.CLEAR_PIXEL:
        assert image.convert("L").getextrema()[0] >= 254


@pytest.mark.parametrize("format", [each for each in WRITABLE if each.alpha])
def test_clear_pixel_is_transparent(format):
    assert drawn(IfBlank.CLEAR_PIXEL, 3, 2, format).convert("RGBA").getextrema()[3] == (0, 0)


def test_clear_pixel_as_gif_is_below_60_bytes():
    assert len(draw(Placeholder(IfBlank.CLEAR_PIXEL, 1, 1, Format.GIF))) < 60


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (400, 100), (90, 300), (1000, 700)])
@pytest.mark.parametrize(
    "text", [*WORDS_BY_LANGUAGE.values(), "Kein Foto", "Brak zdjęcia", "Пусто", "Nenhuma fotografia à vista"]
)
def test_words_are_grey_centred_and_within_the_box(text, size):
    image = on_white(drawn(IfBlank.SR_NO_PHOTO, *size, text=text))
    left, top, right, bottom = ink(image)
    assert left >= 2 and top >= 2 and right <= size[0] - 2 and bottom <= size[1] - 2
    assert abs(left - (size[0] - right)) <= 4 and abs(top - (size[1] - bottom)) <= 4
    assert abs(image.getextrema()[0] - 0x80) <= 16 and image.getextrema()[1] == 255
    assert max((right - left) / size[0], (bottom - top) / size[1]) > 0.3


@pytest.mark.parametrize("language", WORDS_BY_LANGUAGE)
def test_every_language_has_letters_in_its_font(language):
    face = lettering.face_of(WORDS_BY_LANGUAGE[language])
    font = {"ja": "jp", "ko": "sc", "zh": "sc"}
    assert face is not None, "run python -m tools.fonts"
    assert face.file.startswith(f"NotoSansCJK{font[language]}" if language in font else "DejaVuSans")
    for side in (48, 64, 128, 400):
        shown = on_white(drawn(IfBlank.SR_NO_PHOTO, side, side, text=WORDS_BY_LANGUAGE[language]))
        assert shown.getextrema()[0] <= LETTERS
    others = {text for other, text in WORDS_BY_LANGUAGE.items() if other != language}
    assert WORDS_BY_LANGUAGE[language] not in others
    assert shown.tobytes() not in {
        on_white(drawn(IfBlank.SR_NO_PHOTO, 400, 400, text=text)).tobytes() for text in others
    }


@given(st.sampled_from(sorted(WORDS_BY_LANGUAGE)), st.integers(1, 400), st.integers(1, 400))
def test_words_fit_into_every_box(language, width, height):
    image = on_white(drawn(IfBlank.SR_NO_PHOTO, width, height, text=WORDS_BY_LANGUAGE[language]))
    assert image.size == (width, height)
    assert image.getextrema()[0] < 250
    if image.getextrema()[0] > LETTERS:
        return  # the words are drawn as bars
    border = Image.new("L", image.size, 255)
    border.paste(image.crop((1, 1, width - 1, height - 1)), (1, 1))
    assert border.tobytes() == image.tobytes()
    # In a box four times as large, the words have the same share of space on each side.
    large = on_white(drawn(IfBlank.SR_NO_PHOTO, 4 * width, 4 * height, text=WORDS_BY_LANGUAGE[language]))
    assert near([4 * edge for edge in ink(image, 240)], list(ink(large, 240)), 16)


@pytest.mark.parametrize(("size", "rows"), [((400, 40), 1), ((400, 80), 2), ((300, 128), 3), ((60, 400), 5)])
def test_words_take_the_number_of_lines_that_makes_them_largest(size, rows):
    assert ink_rows(on_white(drawn(IfBlank.SR_NO_PHOTO, *size, text="UNE AUTRE PHOTO SERA MISE"))) == rows


@pytest.mark.parametrize("size", [(160, 120), (128, 128), (400, 300)])
def test_two_lines_of_ideographs_have_similar_widths(size):
    image = on_white(drawn(IfBlank.SR_NO_PHOTO, *size, text=WORDS_BY_LANGUAGE["ja"]))
    assert ink_rows(image) == 2
    _, top, _, bottom = ink(image, 200)
    halves = (image.crop((0, 0, image.width, (top + bottom) // 2)), image.crop((0, (top + bottom) // 2, *image.size)))
    above, below = (edges[2] - edges[0] for edges in (ink(half, 200) for half in halves))
    assert 0.8 < above / below < 1.25


def ink_rows(image: Image.Image) -> int:
    """Return how many times a row with ink follows one without, from the top."""
    inked = [min(image.crop((0, y, image.width, y + 1)).tobytes()) < 200 for y in range(image.height)]
    return sum(above < below for above, below in pairwise(inked))


@pytest.mark.parametrize("size", [(100, 30), (128, 128), (160, 300), (777, 400)])
def test_letters_are_not_cut_off(size):
    """An O is symmetrical in both directions."""
    image = on_white(drawn(IfBlank.SR_NO_PHOTO, *size, text="OOO OOO"))
    assert image.getextrema()[0] <= LETTERS
    around = image.crop(ink(image, 200))
    for turn in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM):
        pairs = zip(around.tobytes(), around.transpose(turn).tobytes(), strict=True)
        assert sum(abs(one - other) for one, other in pairs) / (around.width * around.height) < 10


def test_accents_do_not_touch_the_line_above():
    image = on_white(drawn(IfBlank.SR_NO_PHOTO, 256, 256, text="ỌỌỌ ỒỒỒ"))
    assert ink_rows(image) >= 4  # letters, the dots below them, accents, letters


@pytest.mark.parametrize("language", ["ja", "zh"])
def test_ideographs_are_in_one_column_in_a_narrow_box(language):
    left, top, right, bottom = ink(drawn(IfBlank.SR_NO_PHOTO, 40, 160, text=WORDS_BY_LANGUAGE[language]))
    assert bottom - top > 3 * (right - left)
    left, top, right, bottom = ink(drawn(IfBlank.SR_NO_PHOTO, 160, 40, text=WORDS_BY_LANGUAGE[language]))
    assert right - left > 3 * (bottom - top)


def test_korean_breaks_only_at_spaces():
    left, top, right, bottom = ink(drawn(IfBlank.SR_NO_PHOTO, 40, 160, text=WORDS_BY_LANGUAGE["ko"]))
    assert right - left > 26 and bottom - top < 48


def test_line_does_not_begin_with_a_small_kana():
    def lines(text):
        return ink_rows(on_white(drawn(IfBlank.SR_NO_PHOTO, 40, 400, text=text)))

    assert (lines("キヤキヤ"), lines("キャキャ")) == (4, 2)


def test_composed_and_decomposed_letters_look_the_same():
    decomposed = unicodedata.normalize("NFD", WORDS_BY_LANGUAGE["vi"])
    assert decomposed != WORDS_BY_LANGUAGE["vi"]
    assert drawn(IfBlank.SR_NO_PHOTO, 128, 128, text=decomposed).tobytes() == (
        drawn(IfBlank.SR_NO_PHOTO, 128, 128, text=WORDS_BY_LANGUAGE["vi"]).tobytes()
    )


def test_fonts_are_small_and_have_their_licences():
    fonts = sorted(FONTS.glob("*.?tf"))
    assert [font.name for font in fonts] == sorted(face.file for face in lettering.FACES)
    assert sum(font.stat().st_size for font in fonts) <= 1_000_000
    assert "Bitstream" in (FONTS / "LICENSE.txt").read_text()
    noto = (FONTS / "LICENSE-NotoSansCJK.txt").read_text()
    assert "SIL OPEN FONT LICENSE Version 1.1" in noto and all(
        font.name in noto for font in fonts if "Noto" in font.name
    )


def test_border_is_on_all_sides():
    for size in ((128, 128), (300, 50)):
        image = on_white(drawn(IfBlank.SR_NO_PHOTO_WITH_BORDER, *size))
        assert {image.getpixel((x, y)) for x in range(size[0]) for y in (0, size[1] - 1)} == {0x80}
        assert {image.getpixel((x, y)) for x in (0, size[0] - 1) for y in range(size[1])} == {0x80}
    assert on_white(drawn(IfBlank.SR_NO_PHOTO, 128, 128)).getpixel((0, 0)) == 255


def test_words_without_glyphs_are_bars_and_no_words_are_blank():
    for unknown in ("\u0995\u09cb\u09a8", "鱻", "없는 뷁", "NO 鱻"):
        image = drawn(IfBlank.SR_NO_PHOTO, 128, 128, text=unknown)
        assert ink(image) is not None and on_white(image).getextrema()[0] > LETTERS
    assert ink(drawn(IfBlank.SR_NO_PHOTO, 128, 128, text="")) is None
    assert ink(drawn(IfBlank.SR_NO_PHOTO, 128, 128, text="x" * 300)) is not None


@pytest.mark.parametrize("side", [8, 4, 2, 1])
def test_smallest_placeholders_are_not_blank(side):
    for kind in (IfBlank.SR_NO_PHOTO, IfBlank.DEFAULT, IfBlank.GENERIC_FILE_ICON):
        assert on_white(drawn(kind, side, side)).getextrema()[0] < 250


def test_silhouette_has_a_head_above_wider_shoulders():
    image = drawn(IfBlank.DEFAULT, 200, 200)
    alpha = image.getchannel("A")
    assert alpha.getpixel((100, 70)) == 255 == alpha.getpixel((100, 190))
    assert alpha.getpixel((3, 3)) == 0 == alpha.getpixel((20, 70))
    widths = [sum(alpha.getpixel((x, y)) > 127 for x in range(200)) for y in (70, 122, 195)]
    assert widths[1] < widths[0] < widths[2]
    assert near(alpha.tobytes(), alpha.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes(), 40)


def test_file_icon_has_a_folded_corner():
    image = on_white(drawn(IfBlank.GENERIC_FILE_ICON, 200, 200))
    left, top, right, bottom = ink(image)
    assert bottom - top > right - left
    assert image.getpixel((left + 6, top + 2)) < 200 and image.getpixel((right - 6, top + 4)) == 255


@pytest.mark.parametrize("kind", [IfBlank.DEFAULT, IfBlank.SR_NO_PHOTO, IfBlank.GENERIC_FILE_ICON])
def test_large_placeholder_has_sharp_edges(kind):
    """The edges of an enlarged bitmap would have many more pixels between two levels."""
    image = on_white(drawn(kind, 1024, 1024))
    levels = image.histogram()
    between = sum(count for level, count in enumerate(levels) if count < 3000 and level not in (0x80, 0xA0, 0xF6, 255))
    assert between < 16_000
    small = on_white(drawn(kind, 128, 128)).tobytes()
    shrunk = image.resize((128, 128), Image.Resampling.BOX).tobytes()
    assert sum(abs(a - b) for a, b in zip(small, shrunk, strict=True)) / len(small) < 4


def test_largest_placeholder_is_drawn():
    assert drawn(IfBlank.DEFAULT, 4096, 4096).size == (4096, 4096)
    assert drawn(IfBlank.SR_NO_PHOTO_WITH_BORDER, 4096, 1).size == (4096, 1)
