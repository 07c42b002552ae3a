"""The last step before encoding: onto the white sheet of `fit=pad`, and onto white where a format has no alpha."""

from __future__ import annotations

from PIL import Image

from service.formats import Format
from service.imaging.geometry import Plan
from service.imaging.pixels.colour import on_white


def laid(image: Image.Image, made: Plan, kind: Format) -> Image.Image:
    """*image*, scaled and upright, as it is to be written in that *kind*."""
    if made.canvas:
        sheet = Image.new("RGB", made.canvas, "white")
        sheet.paste(on_white(image).convert("RGB"), made.offset)
        return sheet
    return image if kind.alpha else on_white(image)
