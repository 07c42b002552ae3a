"""Pictures made in code, small and with known pixels."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def encode(image: Image.Image, format_: str, **options: Any) -> bytes:
    """*image* as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def decode(data: bytes) -> Image.Image:
    """The bytes of a file as a loaded image."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def quadrants(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """Red and green above, blue and yellow below: which way is up shows at once."""
    image = Image.new("RGB", (width, height), YELLOW)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image.convert(mode)


def see_through(width: int = 64, height: int = 48) -> Image.Image:
    """Red on the left, nothing on the right."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, width // 2, height))
    return image


def animation(format_: str = "GIF", frames: int = 3, side: int = 32) -> bytes:
    """Full frames of red, green, blue, … of 100 ms each, forever."""
    colours = (RED, GREEN, BLUE, YELLOW)
    first, *rest = (Image.new("RGB", (side, side), colours[at % 4]) for at in range(frames))
    return encode(first, format_, save_all=True, append_images=rest, duration=100, loop=0)


def close_to(seen: Any, wanted: tuple[int, ...], by: int = 24) -> bool:
    """Whether a pixel has about the wanted colour; lossy formats are not exact."""
    return len(seen) == len(wanted) and all(abs(a - b) <= by for a, b in zip(seen, wanted, strict=True))
