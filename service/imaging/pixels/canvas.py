"""The white canvas of `fit=pad`."""

from __future__ import annotations

from PIL import Image

from service.imaging.geometry import Plan
from service.imaging.pixels.colour import on_white


def padded(image: Image.Image, plan: Plan) -> Image.Image:
    """Return *image*, scaled and upright, on the canvas of *plan*. Return *image* where the plan has no canvas."""
    if plan.canvas is None:
        return image
    canvas = Image.new("RGB", plan.canvas, "white")
    canvas.paste(on_white(image).convert("RGB"), plan.offset)
    return canvas
