"""Words set as large as a box allows, centred by their ink. Knows letters, and neither colours nor languages."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from service.imaging.geometry import Size

_FONT = Path(__file__).with_name("fonts") / "DejaVuSans-Bold-subset.ttf"
_MEASURE = 256
"""Pixels of the font in which words are measured, before their size is known."""
_FILLED = 0.82
"""The share of the box, along each side, that the words may fill."""
_TALLEST = 0.4
"""Font size at most, as a share of the box's height: beyond it, words shout."""
_LEGIBLE = 6.0
"""Pixels of font size. Smaller letters are shown as grey bars, as typesetters do ("greeking")."""
_EVEN = 64.0
"""Pixels of font size from which on the spacing of letters is even enough."""
_LEADING = 1.1
"""From one line to the next, in font sizes."""


class _Ink(NamedTuple):
    """Where the letters of some lines are, from the origin of the first: pixels of font size `_MEASURE`."""

    lefts: tuple[float, ...]
    widths: tuple[float, ...]
    top: float
    bottom: float


def lettered(text: str, size: Size) -> Image.Image:
    """A mask (mode L) of *size* pixels with *text* in one line or two, whichever can be larger.

    Words too small to be read, or in a script that the font does not have, are shown as bars.
    """
    mask = Image.new("L", size)
    words = text.split()
    if not words:
        return mask
    ways = [(" ".join(words),), *((" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words)))]
    lines = max(ways, key=lambda way: _fitting(_ink(way), size))
    ink = _ink(lines)
    points = _fitting(ink, size)
    if points < _LEGIBLE or not _covered(text):
        _greek(mask, len(lines))
        return mask
    set_ = _set(lines, ink, points)
    mask.paste(set_, ((size[0] - set_.width) // 2, (size[1] - set_.height) // 2))
    return mask


def _set(lines: tuple[str, ...], ink: _Ink, points: float) -> Image.Image:
    """The lines on a sheet just large enough. Small ones are drawn larger and averaged down: FreeType moves on by
    whole pixels from letter to letter, which spaces small words badly, and wider than they were measured."""
    scale = max(1, math.ceil(_EVEN / points))
    font, unit = _font(round(points * scale, 2)), points * scale / _MEASURE
    across = math.ceil(max(ink.widths) * unit / scale) * scale
    down = math.ceil((ink.bottom - ink.top) * unit / scale) * scale
    sheet = Image.new("L", (across, down))
    pen = ImageDraw.Draw(sheet)
    for number, (line, left, width) in enumerate(zip(lines, ink.lefts, ink.widths, strict=True)):
        start = ((across - width * unit) / 2 - left * unit, number * _LEADING * points * scale - ink.top * unit)
        pen.text(start, line, fill=255, font=font)
    small = sheet.reduce(scale)
    return small.crop(small.getbbox())  # measures include the space after the last letter


def _fitting(ink: _Ink, size: Size) -> float:
    """The largest font size, in pixels, whose ink stays within the box."""
    across, down = size[0] * _FILLED / max(ink.widths), size[1] * _FILLED / max(1.0, ink.bottom - ink.top)
    return min(across * _MEASURE, down * _MEASURE, size[1] * _TALLEST)


@lru_cache(maxsize=64)
def _ink(lines: tuple[str, ...]) -> _Ink:
    boxes = [_font(_MEASURE).getbbox(line) for line in lines]
    step = _LEADING * _MEASURE
    return _Ink(
        tuple(box[0] for box in boxes),
        tuple(max(1.0, box[2] - box[0]) for box in boxes),
        min(box[1] + number * step for number, box in enumerate(boxes)),
        max(box[3] + number * step for number, box in enumerate(boxes)),
    )


@lru_cache(maxsize=8)
def _font(points: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONT, points, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=64)
def _covered(text: str) -> bool:
    """Whether the font has a glyph for every letter: a letter without one looks like any other without one."""
    font = _font(32)
    missing = bytes(font.getmask("\ufffe"))
    return not any(bytes(font.getmask(letter)) == missing for letter in set(text) - set(" \u00a0"))


def _greek(mask: Image.Image, lines: int) -> None:
    """Bars in place of lines; at a pixel or two, a grey in proportion to what they would cover."""
    across, down = mask.size
    if min(across, down) < 3:
        mask.paste(64, (0, 0, across, down))
        return
    thick = max(1, round(min(down * _FILLED / (2 * lines - 1), down / 5)))
    top = (down - thick * (2 * lines - 1)) // 2
    wide = max(1, min(round(across * _FILLED), thick * 12))
    for number in range(lines):
        left, high = (across - wide) // 2, top + 2 * thick * number
        mask.paste(160, (left, high, left + wide, high + thick))
