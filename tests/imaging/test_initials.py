"""Initials: their colours, their letters, and that they are sharp at every size."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from service.formats import INITIALS_COLOURS, WRITABLE, Format, IfBlank, Initials
from service.imaging.drawing import lettering
from service.imaging.drawing.initials import COLOURS, drawn_initials
from service.imaging.drawing.placeholders import draw
from service.imaging.initials import drawable
from service.imaging.order import Placeholder
from tests.pixels import shown

FONTS = Path(lettering.__file__).with_name("fonts")
SCRIPTS = ["AB", "ÅQ", "WM", "I", "ΆΩ", "ЩЮ", "ԱԲ", "აბ", "ყ", "דל", "יק", "王", "一", "あ", "ノ", "김", "뷔"]


def luminance(colour: tuple[int, ...]) -> float:
    """Return the relative luminance (WCAG 2.2)."""
    linear = [part / 3294.6 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink(image: Image.Image) -> tuple[int, int, int, int]:
    """Return the box of what is rather white than coloured."""
    back = image.getpixel((0, 0))
    half = sum(back) / 2 + 3 * 255 / 2  # type: ignore[arg-type]
    box = Image.frombytes(
        "L", image.size, bytes(255 if sum(each) > half else 0 for each in image.get_flattened_data())
    ).getbbox()
    assert box is not None
    return box


def test_letters_are_legible_on_each_colour() -> None:
    assert len({*COLOURS}) == INITIALS_COLOURS == len(COLOURS)
    for colour in COLOURS:
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5


@pytest.mark.parametrize("format", WRITABLE)
def test_every_format_has_the_colour_and_the_letters(format: Format) -> None:
    for number, colour in enumerate(COLOURS):
        made = draw(Placeholder(IfBlank.INITIALS, 96, 96, format, initials=Initials("H", number)))
        image = shown(made).convert("RGB")
        assert max(abs(a - b) for a, b in zip(image.getpixel((3, 3)), colour, strict=True)) <= 8  # type: ignore[arg-type]
        assert min(image.getpixel((48, 48))) >= 240  # type: ignore[type-var,arg-type]  # the bar of H


@pytest.mark.parametrize("letters", SCRIPTS)
@pytest.mark.parametrize("size", [(32, 32), (96, 96), (1024, 1024), (300, 64), (64, 300)])
def test_letters_are_in_the_middle_and_within_a_circle(letters: str, size: tuple[int, int]) -> None:
    left, top, right, bottom = ink(drawn_initials(Initials(letters, 0), size))
    side = min(size)
    assert abs(left - (size[0] - right)) <= 2 + side * 0.02
    assert abs(top - (size[1] - bottom)) <= 2 + side * 0.2  # descenders, and one-stroke ideographs
    for x in (left, right):
        for y in (top, bottom):
            assert ((x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2) ** 0.5 <= side / 2


@pytest.mark.parametrize("side", range(1, 33))
def test_smallest_initials_have_their_colour(side: int) -> None:
    for letters in ("AB", "王"):
        image = drawn_initials(Initials(letters, 5), (side, side))
        assert image.size == (side, side)
        assert image.getpixel((0, 0)) == COLOURS[5]
        if side >= 14:
            assert max(sum(each) for each in image.get_flattened_data()) > 600


@pytest.mark.parametrize("letters", ["AB", "王", "김"])
def test_large_initials_have_sharp_edges(letters: str) -> None:
    """The edges of an enlarged bitmap would have many more pixels between two levels."""
    image = drawn_initials(Initials(letters, 8), (1024, 1024))
    between = sum(count for count, _ in image.getcolors(1 << 20) if count < 3000)
    assert between < 16_000
    small = drawn_initials(Initials(letters, 8), (128, 128)).tobytes()
    shrunk = image.resize((128, 128), Image.Resampling.BOX).tobytes()
    assert sum(abs(a - b) for a, b in zip(small, shrunk, strict=True)) / len(small) < 4


def test_hebrew_is_read_from_right_to_left() -> None:
    """Yod is the letter that hangs above the baseline: as the first of two it is on the right."""
    image = drawn_initials(Initials("יה", 0), (200, 200))
    left, top, right, bottom = ink(image)
    middle = (left + right) // 2
    assert ink(image.crop((left - 5, top - 5, middle, bottom + 5)))[3] > (bottom - top) * 0.9
    assert ink(image.crop((right - 15, top - 5, right + 5, bottom + 5)))[3] < 5 + (bottom - top) * 0.8


def test_marks_are_above_and_below_their_letters() -> None:
    plain = ink(drawn_initials(Initials("J", 0), (200, 200)))
    above = ink(drawn_initials(Initials("J\u030c", 0), (200, 200)))
    below = ink(drawn_initials(Initials("J\u0331", 0), (200, 200)))
    assert 0 < above[1] < plain[1] and above[3] == plain[3]
    assert plain[3] < below[3] < 200 and below[1] == plain[1]


def test_list_of_letters_is_that_of_the_fonts() -> None:
    known = drawable()
    for face, letters in ((lettering.ALPHABETS, known.alphabets + known.marks), (lettering.NAMES, known.names)):
        missing = bytes(lettering.font(face, 32).getmask("\ufffe"))
        assert not [each for each in letters if bytes(lettering.font(face, 32).getmask(each)) == missing]
    capitals = {each.upper() for each in "abcxyzåøžőđłñßαωϊабяіґաֆ" if len(each.upper()) == 1} | {*"אתაჰ"}
    assert capitals <= {*known.alphabets}
    syllables = {each for each in map(chr, range(0xAC00, 0xD7A4)) if len(each.encode("euc_kr")) == 2}
    assert len(syllables) == 2350
    kana = {*map(chr, (*range(0x3041, 0x3097), *range(0x30A1, 0x30FB)))}
    surnames = {*"".join((Path(__file__).parents[2] / "tools/surnames.txt").read_text("utf-8").split())}
    assert len(surnames) == 1_000
    assert syllables | kana | surnames <= {*known.names}
