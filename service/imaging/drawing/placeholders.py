"""The placeholders for missing pictures. Every placeholder is drawn at its own size.

Shapes are drawn several times larger and averaged. FreeType smooths the outlines of letters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PIL import Image, ImageDraw

from service.formats import IfBlank
from service.imaging.drawing.initials import drawn_initials
from service.imaging.drawing.lettering import lettered
from service.imaging.errors import writing
from service.imaging.geometry import Size
from service.imaging.order import Placeholder
from service.imaging.pixels.colour import on_background
from service.imaging.reading import readers as _readers  # closes Pillow's list of plug-ins
from service.imaging.writing.encode import encode_still

assert _readers

_FIGURE = 0xA0
"""Grey, 0 to 255, of figures."""
_TEXT = 0x80
"""Grey, 0 to 255, of words and their frame."""
_MAX_DRAWN = 8192 * 8192
"""Pixels of the large drawing at most, one byte each."""


def draw(placeholder: Placeholder) -> bytes:
    """Return the placeholder as a file, on its background or, where its format has no transparency, on white.

    Raise `Unwritable`, also when drawing takes too much memory.
    """
    encoding = placeholder.encoding
    if placeholder.kind is IfBlank.CLEAR_PIXEL:
        encoding = replace(encoding, avif_quality=100)  # AVIF's alpha is lossy, too, and this pixel must be transparent
    with writing(placeholder.format):
        image = _DRAWINGS[placeholder.kind](placeholder)
        if placeholder.background is not None or not placeholder.format.alpha:
            image = on_background(image, placeholder.background)
        return encode_still(image, placeholder.format, encoding)


def _clear(placeholder: Placeholder) -> Image.Image:
    return Image.new("LA", (placeholder.width, placeholder.height), (255, 0))


def _silhouette(placeholder: Placeholder) -> Image.Image:
    """Return head and shoulders in a square at the bottom of the box."""
    side = min(placeholder.width, placeholder.height)
    left, top = (placeholder.width - side) / 2, float(placeholder.height - side)

    def shape(pen: ImageDraw.ImageDraw, scale: int) -> None:
        def ellipse(x0: float, y0: float, x1: float, y1: float) -> None:
            box = [(start + part * side) * scale for start, part in zip((left, top) * 2, (x0, y0, x1, y1), strict=True)]
            pen.ellipse([box[0], box[1], max(box[0], box[2] - 1), max(box[1], box[3] - 1)], fill=255)

        ellipse(0.30, 0.14, 0.70, 0.58)
        ellipse(0.12, 0.64, 0.88, 1.50)

    return _painted(_smooth((placeholder.width, placeholder.height), shape), _FIGURE)


def _file_icon(placeholder: Placeholder) -> Image.Image:
    """Return a page in portrait format with its upper right corner folded over."""
    tall = min(placeholder.height * 0.84, placeholder.width * 0.84 * 1.3)
    wide, fold, line = tall / 1.3, tall * 0.24, max(tall * 0.035, min(1.0, tall / 4))
    left, top = (placeholder.width - wide) / 2, (placeholder.height - tall) / 2
    right, bottom = left + wide, top + tall

    def page(pen: ImageDraw.ImageDraw, scale: int, inset: float = 0) -> None:
        corner = fold + inset * 0.4
        outline = [
            (left + inset, top + inset),
            (right - corner, top + inset),
            (right - inset, top + corner),
            (right - inset, bottom - inset),
            (left + inset, bottom - inset),
        ]
        pen.polygon([(x * scale, y * scale) for x, y in outline], fill=255)

    def paper(pen: ImageDraw.ImageDraw, scale: int) -> None:
        page(pen, scale, line)

    def folded(pen: ImageDraw.ImageDraw, scale: int) -> None:
        flap = [(right - fold, top), (right, top + fold), (right - fold, top + fold)]
        pen.polygon([(x * scale, y * scale) for x, y in flap], fill=255)

    size = (placeholder.width, placeholder.height)
    image = _painted(_smooth(size, page), _FIGURE)
    white = _smooth(size, paper)
    image.paste((0xF6, 255), mask=white)
    image.paste((_FIGURE, 255), mask=_smooth(size, folded))
    return image


def _words(placeholder: Placeholder) -> Image.Image:
    image = Image.new("L", (placeholder.width, placeholder.height), 255)
    image.paste(_TEXT, mask=lettered(placeholder.text, image.size))
    return image


def _framed_words(placeholder: Placeholder) -> Image.Image:
    image = Image.new("L", (placeholder.width, placeholder.height), 255)
    line = max(1, round(min(image.size) / 64))
    inside = (placeholder.width - 4 * line, placeholder.height - 4 * line)
    if min(inside) > 0:
        image.paste(_TEXT, (2 * line, 2 * line), mask=lettered(placeholder.text, inside))
    ImageDraw.Draw(image).rectangle((0, 0, placeholder.width - 1, placeholder.height - 1), outline=_TEXT, width=line)
    return image


def _initials(placeholder: Placeholder) -> Image.Image:
    assert placeholder.initials is not None
    return drawn_initials(placeholder.initials, (placeholder.width, placeholder.height))


def _smooth(size: Size, shape: Callable[[ImageDraw.ImageDraw, int], None]) -> Image.Image:
    """Return how much of each pixel a *shape* covers, 0 to 255. It is drawn 8, 4 or 2 times larger and averaged."""
    scale = next((each for each in (8, 4) if size[0] * size[1] * each**2 <= _MAX_DRAWN), 2)
    sheet = Image.new("L", (size[0] * scale, size[1] * scale))
    shape(ImageDraw.Draw(sheet), scale)
    return sheet.reduce(scale)


def _painted(mask: Image.Image, grey: int) -> Image.Image:
    return Image.merge("LA", (Image.new("L", mask.size, grey), mask))


_DRAWINGS: dict[IfBlank, Callable[[Placeholder], Image.Image]] = {
    IfBlank.DEFAULT: _silhouette,
    IfBlank.CLEAR_PIXEL: _clear,
    IfBlank.SR_NO_PHOTO: _words,
    IfBlank.SR_NO_PHOTO_WITH_BORDER: _framed_words,
    IfBlank.GENERIC_FILE_ICON: _file_icon,
    IfBlank.INITIALS: _initials,
}
