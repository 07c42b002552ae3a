"""Words set as large as a box allows, centred by their ink. Knows letters, and neither colours nor languages."""

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

_MEASURE = 256
"""Pixels of the font in which words are measured, before their size is known."""
_FILLED = 0.82
"""The share of the box, along each side, that the words may fill."""
_EVEN = 64.0
"""Pixels of font size from which on the spacing of letters is even enough."""
_LEADING = 1.1
"""From one line to the next, in font sizes; more where accents need it."""
_GAP = 0.12
"""Between the ink of two lines at least, in font sizes."""

# A line may begin with any ideograph or kana, and otherwise after a space; never with small kana or a closing mark.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PIECE = re.compile(rf"\s*(?:[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+)[ぁぃぅぇぉっゃゅょァィゥェォッャュョー、。！？]*")


class Face(NamedTuple):
    """A font file, and how its letters like to be seen."""

    file: str
    legible: float
    """Pixels of font size. Smaller letters are shown as grey bars, as typesetters do ("greeking")."""
    tallest: float
    """Font size at most, as a share of the box's height: beyond it, words shout."""


_FONTS = Path(__file__).with_name("fonts")
FACES = (
    Face("DejaVuSans-Bold-subset.ttf", 6.0, 0.4),
    Face("NotoSansCJKsc-Bold-subset.otf", 7.5, 0.33),
    Face("NotoSansCJKjp-Bold-subset.otf", 7.5, 0.33),
    Face("NotoSansCJKkr-Bold-subset.otf", 7.5, 0.33),
)
"""In the order in which they are tried. The last three have the ideographs of our words in Chinese, Japanese and
Korean, each in the forms of its own language (`python -m tools.fonts`)."""


class _Ink(NamedTuple):
    """Where the letters of some lines are, from the start of the first one's baseline: pixels of font size
    `_MEASURE`."""

    lefts: tuple[float, ...]
    widths: tuple[float, ...]
    baselines: tuple[float, ...]
    top: float
    bottom: float


def lettered(text: str, size: Size) -> Image.Image:
    """A mask (mode L) of *size* pixels with *text*, in as many lines as let it be largest.

    Words too small to be read, or in a script that no face has, are shown as bars.
    """
    mask = Image.new("L", size)
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    if not text:
        return mask
    known = face_of(text)
    face = known or FACES[0]
    inks = [(lines, _ink(face, lines)) for lines in _ways(face, text)]
    lines, ink = max(inks, key=lambda each: _fitting(face, each[1], size))
    points = _fitting(face, ink, size)
    if known is None or points < face.legible:
        _greek(mask, len(lines))
        return mask
    set_ = _set(face, lines, ink, points)
    mask.paste(set_, ((size[0] - set_.width) // 2, (size[1] - set_.height) // 2))
    return mask


@lru_cache(maxsize=64)
def face_of(text: str) -> Face | None:
    """The first face that has a glyph for every letter of *text*."""
    return next((face for face in FACES if _covers(face, set(text) - {" "})), None)


def _covers(face: Face, letters: set[str]) -> bool:
    """A letter without a glyph looks like any other without one."""
    font = _font(face, 32)
    missing = bytes(font.getmask("\ufffe"))
    return not any(bytes(font.getmask(letter)) == missing for letter in letters)


@lru_cache(maxsize=64)
def _ways(face: Face, text: str) -> tuple[tuple[str, ...], ...]:
    """The ways to break *text* that can be best: for each number of lines, that whose widest line is the narrowest."""
    pieces = _PIECE.findall(text)
    ends = range(1, len(pieces) + 1)
    widths = {_width(face, "".join(pieces[start:end]).strip()) for end in ends for start in range(end)}
    ways = [_broken(face, pieces, widest) for widest in sorted(widths, reverse=True)]
    return tuple({len(way): way for way in ways}.values())


def _broken(face: Face, pieces: list[str], widest: float) -> tuple[str, ...]:
    lines = [pieces[0].strip()]
    for piece in pieces[1:]:
        longer = (lines[-1] + piece).strip()
        if _width(face, longer) <= widest:
            lines[-1] = longer
        else:
            lines.append(piece.strip())
    return tuple(lines)


def _set(face: Face, lines: tuple[str, ...], ink: _Ink, points: float) -> Image.Image:
    """The lines on a sheet just large enough. Small ones are drawn larger and averaged down: FreeType moves on by
    whole pixels from letter to letter, which spaces small words badly, and wider than they were measured."""
    scale = max(1, math.ceil(_EVEN / points))
    font, unit = _font(face, round(points * scale, 2)), points * scale / _MEASURE
    room = math.ceil(_EVEN / 8 / scale) * scale
    across = math.ceil(max(ink.widths) * unit / scale) * scale + 2 * room
    down = math.ceil((ink.bottom - ink.top) * unit / scale) * scale + 2 * room
    sheet = Image.new("L", (across, down))
    pen = ImageDraw.Draw(sheet)
    for line, left, width, baseline in zip(lines, ink.lefts, ink.widths, ink.baselines, strict=True):
        start = ((across - width * unit) / 2 - left * unit, room + (baseline - ink.top) * unit)
        pen.text(start, line, fill=255, font=font, anchor="ls")
    small = sheet.reduce(scale)
    return small.crop(small.getbbox())  # measures include the space after the last letter


def _fitting(face: Face, ink: _Ink, size: Size) -> float:
    """The largest font size, in pixels, whose ink stays within the box."""
    across, down = size[0] * _FILLED / max(ink.widths), size[1] * _FILLED / max(1.0, ink.bottom - ink.top)
    return min(across * _MEASURE, down * _MEASURE, size[1] * face.tallest)


@lru_cache(maxsize=256)
def _ink(face: Face, lines: tuple[str, ...]) -> _Ink:
    boxes = [_font(face, _MEASURE).getbbox(line, anchor="ls") for line in lines]
    baselines = [0.0]
    for above, below in pairwise(boxes):
        baselines.append(baselines[-1] + max(_LEADING * _MEASURE, above[3] - below[1] + _GAP * _MEASURE))
    return _Ink(
        tuple(box[0] for box in boxes),
        tuple(max(1.0, box[2] - box[0]) for box in boxes),
        tuple(baselines),
        min(box[1] + baseline for box, baseline in zip(boxes, baselines, strict=True)),
        max(box[3] + baseline for box, baseline in zip(boxes, baselines, strict=True)),
    )


@lru_cache(maxsize=256)
def _width(face: Face, line: str) -> float:
    return _font(face, _MEASURE).getlength(line)


@lru_cache(maxsize=16)
def _font(face: Face, points: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONTS / face.file, points, layout_engine=ImageFont.Layout.BASIC)


def _greek(mask: Image.Image, lines: int) -> None:
    """Bars in place of lines; at a pixel or two, a grey in proportion to what they would cover."""
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
