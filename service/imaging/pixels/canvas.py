"""The canvas of `fit=pad`."""

from __future__ import annotations

from PIL import Image

from service.imaging.geometry import Plan
from service.imaging.pixels.colour import on_background, rgb


def padded(image: Image.Image, plan: Plan, background: str | None) -> Image.Image:
    """Return *image*, scaled and upright, on the canvas of *plan* in the colour *background* (white if None).

    Return *image* where the plan has no canvas.
    """
    if plan.canvas is None:
        return image
    canvas = Image.new("RGB", plan.canvas, rgb(background))
    canvas.paste(on_background(image, background).convert("RGB"), plan.offset)
    return canvas
