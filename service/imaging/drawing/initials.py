"""Drawing of initials, white on one of twelve colours."""

from __future__ import annotations

import math
import unicodedata

from PIL import Image, ImageDraw, ImageFont

from service.formats import Initials
from service.imaging.drawing.lettering import ALPHABETS, EVEN, MEASURE, NAMES, Face, font
from service.imaging.geometry import Size
from service.imaging.initials import drawable, graphemes

COLOURS = (
    (0xB8, 0x40, 0x3E),
    (0xA7, 0x55, 0x02),
    (0x8C, 0x69, 0x06),
    (0x6C, 0x75, 0x01),
    (0x16, 0x80, 0x28),
    (0x04, 0x7E, 0x68),
    (0x08, 0x7A, 0x84),
    (0x02, 0x76, 0xA5),
    (0x41, 0x68, 0xC8),
    (0x77, 0x57, 0xBE),
    (0x9A, 0x49, 0x9F),
    (0xB0, 0x3F, 0x73),
)
"""The colours: equal lightness and steps of hue of 30 degrees in OKLCH. Their contrast to white is at least 5."""
_WHITE = (0xFF, 0xFF, 0xFF)
_SIZES = {1: 0.5, 2: 0.42}
"""Font size as a share of the shorter side, by the number of letters."""
_WIDEST = 0.72
"""Share of the shorter side that the letters may be wide, so that they stay within a circle."""
_LEGIBLE = 5.0
"""Pixels of font size. Smaller initials are their colour alone."""
_EM_MIDDLE = 0.38
"""Font sizes from the baseline up to the middle of ideographs, kana and Hangul."""
_MARK_GAP = 0.06
"""Font sizes between a letter and its mark, and between two marks."""
_BELOW = 220
"""The combining class of marks below letters."""


def drawn_initials(initials: Initials, size: Size) -> Image.Image:
    """Return a picture of *size* pixels with *initials* in its middle."""
    image = Image.new("RGB", size, COLOURS[initials.colour])
    image.paste(_WHITE, mask=_mask(initials.letters, size))
    return image


def _mask(letters: str, size: Size) -> Image.Image:
    """Return how much of each pixel *letters* cover, 0 to 255. Small letters are drawn larger and averaged."""
    parts, side = graphemes(letters), min(size)
    face = ALPHABETS if parts[0][0] in drawable().alphabets else NAMES
    if unicodedata.bidirectional(parts[0][0]) == "R":
        parts.reverse()
    bases = "".join(part[0] for part in parts)
    left, _, right, _ = _ink(bases, font(face, MEASURE))
    points = side * min(_SIZES[len(parts)], _WIDEST * MEASURE / max(1, right - left))
    if points < _LEGIBLE:
        return Image.new("L", size)
    scale = max(1, math.ceil(EVEN / points))
    unit = points * scale / MEASURE
    sheet = Image.new("L", (size[0] * scale, size[1] * scale))
    start = (sheet.width - (left + right) * unit) / 2, sheet.height / 2 + _middle(face, bases) * unit
    pen, letters_font = ImageDraw.Draw(sheet), font(face, round(points * scale, 2))
    pen.text(start, bases, fill=255, font=letters_font, anchor="ls")
    for at, part in enumerate(parts):
        _draw_marks(pen, part, (start[0] + letters_font.getlength(bases[:at]), start[1]), letters_font)
    return sheet.reduce(scale)


def _middle(face: Face, bases: str) -> float:
    """Return how far above the baseline the middle of the letters is, in pixels of font size `MEASURE`.

    It is the same for all letters of a script whose letters have one height.
    """
    if face is NAMES:
        return _EM_MIDDLE * MEASURE
    capital = unicodedata.category(bases[0]) in ("Lu", "Lt")
    alike = "H" if capital else "\N{HEBREW LETTER HE}" if unicodedata.bidirectional(bases[0]) == "R" else bases
    _, top, _, bottom = _ink(alike, font(face, MEASURE))
    return -(top + bottom) / 2


def _draw_marks(
    pen: ImageDraw.ImageDraw, part: str, start: tuple[float, float], letters_font: ImageFont.FreeTypeFont
) -> None:
    """Draw the marks of the letter *part*, which has its baseline at *start*, above or below its ink."""
    left, above, right, below = _ink(part[0], letters_font)
    gap = _MARK_GAP * letters_font.size
    for mark in part[1:]:
        box = _ink(mark, letters_font)
        if unicodedata.combining(mark) == _BELOW:
            down = below + gap - box[1]
            below = down + box[3]
        else:
            down = above - gap - box[3]
            above = down + box[1]
        across = (left + right - box[0] - box[2]) / 2
        pen.text((start[0] + across, start[1] + down), mark, fill=255, font=letters_font, anchor="ls")


def _ink(text: str, letters_font: ImageFont.FreeTypeFont) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the ink of *text*, in pixels from the start of its baseline.

    `getbbox` of the font includes the baseline, above which marks are.
    """
    mask, offset = letters_font.getmask2(text, "L", anchor="ls")
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    return left + offset[0], top + offset[1], right + offset[0], bottom + offset[1]
