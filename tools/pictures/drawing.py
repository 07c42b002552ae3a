"""Pictures drawn by code, with known pixels, and their files as Pillow writes them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

RED, GREEN, BLUE, YELLOW = (230, 20, 20), (20, 200, 20), (20, 20, 230), (230, 230, 20)


def quarters(width: int = 80, height: int = 60, mode: str = "RGB") -> Image.Image:
    """Return a picture of four quarters: red and green above blue and yellow."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image.convert(mode)


def see_through(width: int = 64, height: int = 48) -> Image.Image:
    """Return a picture that is red on the left and transparent on the right."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, width // 2, height))
    return image


def large(width: int = 2400, height: int = 1800) -> Image.Image:
    """Return four quarters with grain, so that their file is as large as that of a photograph."""
    grain = Image.effect_noise((width, height), 60).convert("RGB")
    return Image.blend(quarters(width, height), grain, 0.1)


def animation(kind: str = "GIF", frames: int = 3, side: int = 32) -> bytes:
    """Return an animation of whole frames in red, green, blue and yellow, each of 100 ms, without end."""
    colours = (RED, GREEN, BLUE, YELLOW)
    first, *rest = (Image.new("RGB", (side, side), colours[at % 4]) for at in range(frames))
    return saved(first, kind, save_all=True, append_images=rest, duration=100, loop=0)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return *image* as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
