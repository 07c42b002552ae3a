"""Renditions of bytes, and functions that decode files and compare pixels."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from service.formats import Fit, Format
from service.imaging.order import Encoding, Limits, Order, Rendered
from service.imaging.render import render


def rendered(
    data: bytes, kind: str = "PNG", width: int | None = None, height: int | None = None, fit: Fit = Fit.CONTAIN,
    limits: Limits | None = None, encoding: Encoding | None = None,
) -> Rendered:  # fmt: skip
    """Return the rendition of the original *data*."""
    return render(data, Order(Format[kind], width, height, fit, limits or Limits(), encoding or Encoding()))


def shown(data: bytes) -> Image.Image:
    """Return the first frame of a file, decoded by Pillow."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def frames_of(data: bytes) -> list[tuple[Image.Image, float]]:
    """Return every frame of a file in RGBA, and its duration in milliseconds."""
    image = Image.open(io.BytesIO(data))
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        frames.append((image.convert("RGBA"), float(image.info.get("duration", 0))))
    return frames


def near(one: Any, other: Any, within: int = 12) -> bool:
    """Return whether every two samples differ by at most *within*. Lossy formats are not exact."""
    return len(one) == len(other) and all(abs(a - b) <= within for a, b in zip(one, other, strict=True))


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Return the colours, in RGB, of the middles of the four quarters."""
    across, down = image.size
    rgb = image.convert("RGB")
    return [rgb.getpixel((x, y)) for y in (down // 4, down * 3 // 4) for x in (across // 4, across * 3 // 4)]
