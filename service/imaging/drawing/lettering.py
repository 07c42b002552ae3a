"""Drawing of words as large as a box allows, centred by their ink. This module does not know languages or colours."""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from service.imaging.geometry import Size

MEASURE = 256
"""Pixels of the font size in which words are measured."""
_FILLED = 0.82
"""Share of each side of the box that the words may fill."""
EVEN = 64.0
"""Pixels of font size from which the spacing of letters is even."""
_LEADING = 1.1
"""Font sizes from one baseline to the next at least. Accents may need more."""
_GAP = 0.12
"""Font sizes between the ink of two lines at least."""

# A line may begin with any ideograph or kana, and after a space. It may not begin with small kana or a closing mark.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PIECE = re.compile(rf"\s*(?:[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+)[ぁぃぅぇぉっゃゅょァィゥェォッャュョー、。！？]*")


class Face(NamedTuple):
    """A font file and the sizes that its letters need."""

    file: str
    legible: float
    """Pixels of font size. Smaller text is drawn as grey bars ("greeking")."""
    tallest: float
    """Share of the box's height that the font size has at most."""


_FONTS = Path(__file__).with_name("fonts")
ALPHABETS = Face("DejaVuSans-Bold-subset.ttf", 6.0, 0.4)
NAMES = Face("NotoSansCJKsc-Bold-names.otf", 7.5, 0.33)
"""The font with Hangul, kana, and the ideographs of surnames."""
FACES = (
    ALPHABETS,
    Face("NotoSansCJKsc-Bold-subset.otf", 7.5, 0.33),
    Face("NotoSansCJKjp-Bold-subset.otf", 7.5, 0.33),
    NAMES,
)
"""The fonts, in the order in which they are tried. The second and the third have the letters of the placeholders' words
in Chinese and Japanese, in the forms of each language (`python -m tools.fonts`)."""


class _Ink(NamedTuple):
    """The positions of the letters of some lines, in pixels of font size `MEASURE`.

    The origin is the start of the first baseline.
    """

    lefts: tuple[float, ...]
    widths: tuple[float, ...]
    baselines: tuple[float, ...]
    top: float
    bottom: float


def lettered(text: str, size: Size) -> Image.Image:
    """Return a mask (mode L) of *size* pixels with *text*, in the number of lines that makes it largest.

    Words that are too small, or in a script that no face has, are drawn as bars.
    """
    mask = Image.new("L", size)
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    if not text:
        return mask
    complete = face_of(text)
    face = complete or FACES[0]
    inks = [(lines, _ink(face, lines)) for lines in _broken_lines(face, text)]
    lines, ink = max(inks, key=lambda each: _fitting(face, each[1], size))
    points = _fitting(face, ink, size)
    if complete is None or points < face.legible:
        _draw_bars(mask, len(lines))
        return mask
    drawn = _drawn(face, lines, ink, points)
    mask.paste(drawn, ((size[0] - drawn.width) // 2, (size[1] - drawn.height) // 2))
    return mask


@lru_cache(maxsize=64)
def face_of(text: str) -> Face | None:
    """Return the first face that has a glyph for every letter of *text*, or None."""
    return next((face for face in FACES if _covers(face, set(text) - {" "})), None)


def _covers(face: Face, letters: set[str]) -> bool:
    """Return whether *face* has a glyph for every one of *letters*."""
    small = font(face, 32)  # all letters without a glyph have the same picture
    missing = bytes(small.getmask("\ufffe"))
    return not any(bytes(small.getmask(letter)) == missing for letter in letters)


@lru_cache(maxsize=64)
def _broken_lines(face: Face, text: str) -> tuple[tuple[str, ...], ...]:
    """Return *text* in lines: for each number of lines, those whose widest line is the narrowest."""
    pieces = _PIECE.findall(text)
    ends = range(1, len(pieces) + 1)
    widths = {_width(face, "".join(pieces[start:end]).strip()) for end in ends for start in range(end)}
    every = [_lines_within(face, pieces, widest) for widest in sorted(widths, reverse=True)]
    return tuple({len(lines): lines for lines in every}.values())


def _lines_within(face: Face, pieces: list[str], widest: float) -> tuple[str, ...]:
    lines = [pieces[0].strip()]
    for piece in pieces[1:]:
        longer = (lines[-1] + piece).strip()
        if _width(face, longer) <= widest:
            lines[-1] = longer
        else:
            lines.append(piece.strip())
    return tuple(lines)


def _drawn(face: Face, lines: tuple[str, ...], ink: _Ink, points: float) -> Image.Image:
    """Return a mask with *lines*, cut to their ink.

    Small letters are drawn larger and averaged. FreeType moves by whole pixels from letter to letter, so that small
    words have uneven spaces, and are wider than they were measured.
    """
    scale = max(1, math.ceil(EVEN / points))
    unit = points * scale / MEASURE
    room = math.ceil(EVEN / 8 / scale) * scale
    across = math.ceil(max(ink.widths) * unit / scale) * scale + 2 * room
    down = math.ceil((ink.bottom - ink.top) * unit / scale) * scale + 2 * room
    sheet = Image.new("L", (across, down))
    pen = ImageDraw.Draw(sheet)
    for line, left, width, baseline in zip(lines, ink.lefts, ink.widths, ink.baselines, strict=True):
        start = ((across - width * unit) / 2 - left * unit, room + (baseline - ink.top) * unit)
        pen.text(start, line, fill=255, font=font(face, round(points * scale, 2)), anchor="ls")
    small = sheet.reduce(scale)
    return small.crop(small.getbbox())  # the measured width includes the space after the last letter


def _fitting(face: Face, ink: _Ink, size: Size) -> float:
    """Return the largest font size, in pixels, whose ink stays within the box."""
    across, down = size[0] * _FILLED / max(ink.widths), size[1] * _FILLED / max(1.0, ink.bottom - ink.top)
    return min(across * MEASURE, down * MEASURE, size[1] * face.tallest)


@lru_cache(maxsize=256)
def _ink(face: Face, lines: tuple[str, ...]) -> _Ink:
    boxes = [font(face, MEASURE).getbbox(line, anchor="ls") for line in lines]
    baselines = [0.0]
    for above, below in pairwise(boxes):
        baselines.append(baselines[-1] + max(_LEADING * MEASURE, above[3] - below[1] + _GAP * MEASURE))
    return _Ink(
        tuple(box[0] for box in boxes),
        tuple(max(1.0, box[2] - box[0]) for box in boxes),
        tuple(baselines),
        min(box[1] + baseline for box, baseline in zip(boxes, baselines, strict=True)),
        max(box[3] + baseline for box, baseline in zip(boxes, baselines, strict=True)),
    )


@lru_cache(maxsize=256)
def _width(face: Face, line: str) -> float:
    return font(face, MEASURE).getlength(line)


@lru_cache(maxsize=16)
def font(face: Face, points: float) -> ImageFont.FreeTypeFont:
    """Return the font of *face* at a size of *points* pixels."""
    return ImageFont.truetype(_FONTS / face.file, points, layout_engine=ImageFont.Layout.BASIC)


def _draw_bars(mask: Image.Image, lines: int) -> None:
    """Draw bars in place of *lines* lines. A mask of less than three pixels gets the grey of the covered share."""
    across, down = mask.size
    if min(across, down) < 3:
        mask.paste(64, (0, 0, across, down))
        return
    thick = max(1, round(min(down * _FILLED / (2 * lines - 1), down / 5, across / 5)))
    top = (down - thick * (2 * lines - 1)) // 2
    wide = max(1, min(round(across * _FILLED), thick * 12))
    for number in range(lines):
        left, high = (across - wide) // 2, top + 2 * thick * number
        mask.paste(160, (left, high, left + wide, high + thick))
