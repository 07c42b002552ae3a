"""Draw a contact sheet: a portrait in every format and every fit, and every placeholder."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

from service.drawings import portrait
from service.formats import WRITABLE, Fit, Format, IfBlank
from service.imaging.drawing.placeholders import draw
from service.imaging.order import Order, Placeholder
from service.imaging.render import render

_SIDE, _GAP, _LINE = 128, 20, 17
"""Pixels of a picture's box, of the space between boxes, and of a line of text."""
_INK, _FAINT, _PAPER = (40, 44, 52), (120, 126, 138), (244, 245, 247)
_NAMES = {
    IfBlank.DEFAULT: "Default",
    IfBlank.CLEAR_PIXEL: "ClearPixel",
    IfBlank.SR_NO_PHOTO: "SrNoPhoto",
    IfBlank.SR_NO_PHOTO_WITH_BORDER: "SrNoPhotoWithBorder",
    IfBlank.GENERIC_FILE_ICON: "GenericFileIcon",
}
Picture = tuple[str, str, bytes]
"""A picture's name, its size or parameter, and its file."""


def sheet() -> Image.Image:
    """Return the sheet."""
    rows = {"Formats, h=128": _formats(), "Fits, w=128&h=128": _fits(), "Placeholders, 128x128": _placeholders()}
    widest = max(len(pictures) for pictures in rows.values())
    tall = _LINE + _GAP // 2 + _SIDE + 2 * _LINE + 2 * _GAP
    page = Image.new("RGB", (_GAP + widest * (_SIDE + _GAP), _GAP // 2 + len(rows) * tall), _PAPER)
    pen = ImageDraw.Draw(page)
    top = _GAP
    for title, pictures in rows.items():
        pen.text((_GAP, top), title, _INK, _font(15))
        for place, picture in enumerate(pictures):
            _show(page, pen, (_GAP + place * (_SIDE + _GAP), top + _LINE + _GAP // 2), picture)
        top += tall
    return page


def _formats() -> list[Picture]:
    original = _original()
    made = [(each, render(original, Order(each, height=_SIDE)).data) for each in WRITABLE]
    return [(each.name, f"{len(data) / 1000:.1f} kB", data) for each, data in made]


def _fits() -> list[Picture]:
    original = _original()
    made = [(each, render(original, Order(Format.PNG, _SIDE, _SIDE, each))) for each in Fit]
    return [(each.value, f"{one.width}x{one.height}", one.data) for each, one in made]


def _placeholders() -> list[Picture]:
    return [
        (name, f"ifBlank={kind.value}", draw(Placeholder(kind, _SIDE, _SIDE, Format.PNG, "NO PHOTO")))
        for kind, name in _NAMES.items()
    ]


def _original() -> bytes:
    file = io.BytesIO()
    portrait(Random(16), 800).save(file, "JPEG", quality=92)
    return file.getvalue()


def _show(page: Image.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int], picture: Picture) -> None:
    """Draw a picture with its texts, on a chequered background that shows transparency."""
    name, word, data = picture
    left, top = at
    with Image.open(io.BytesIO(data)) as image:
        shown = image.convert("RGBA")
    left += (_SIDE - shown.width) // 2
    where = (left, top + (_SIDE - shown.height) // 2)
    page.paste(Image.alpha_composite(_chequers(shown.size), shown).convert("RGB"), where)
    pen.rectangle(
        (where[0] - 1, where[1] - 1, where[0] + shown.width, where[1] + shown.height), outline=(214, 217, 223)
    )
    middle = at[0] + _SIDE // 2
    pen.text((middle, top + _SIDE + 6), name, _INK, _font(12), anchor="ma")
    pen.text((middle, top + _SIDE + 6 + _LINE), word, _FAINT, _font(12), anchor="ma")


def _chequers(size: tuple[int, int]) -> Image.Image:
    ground = Image.new("RGBA", size, "white")
    pen = ImageDraw.Draw(ground)
    for x in range(0, size[0], 8):
        for y in range(x // 8 % 2 * 8, size[1], 16):
            pen.rectangle((x, y, x + 7, y + 7), fill=(228, 230, 235))
    return ground


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def main() -> None:
    """Write the sheet to a file."""
    parser = argparse.ArgumentParser(prog="python -m tools.sheet", description=__doc__)
    parser.add_argument("file", type=Path, help="the PNG to write")
    sheet().save(parser.parse_args().file, "PNG", optimize=True)


if __name__ == "__main__":
    main()
