"""Pictures made in code for the tests of imaging: four coloured quarters, hostile parts, a way to look at files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

from service.formats import Fit, Format
from service.imaging.render import Encoding, Limits, Order, Rendered, render

RED, GREEN, BLUE, YELLOW = (230, 20, 20), (20, 200, 20), (20, 20, 230), (230, 230, 20)


def quarters(width: int = 80, height: int = 60, mode: str = "RGB") -> Image.Image:
    """Red, green / blue, yellow."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rendered(
    data: bytes, kind: str = "PNG", width: int | None = None, height: int | None = None, fit: Fit = Fit.CONTAIN,
    limits: Limits | None = None, encoding: Encoding | None = None,
) -> Rendered:  # fmt: skip
    return render(data, Order(Format[kind], width, height, fit, limits or Limits(), encoding or Encoding()))


def shown(data: bytes) -> Image.Image:
    """The file as it is decoded, first frame, loaded."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def film(data: bytes) -> list[tuple[Image.Image, float]]:
    """Every frame of the file as RGBA, and its milliseconds."""
    image = Image.open(io.BytesIO(data))
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        frames.append((image.convert("RGBA"), float(image.info.get("duration", 0))))
    return frames


def near(one: Any, other: Any, within: int = 12) -> bool:
    return all(abs(a - b) <= within for a, b in zip(one, other, strict=True))


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *extra: bytes, colour: int = 2, depth: int = 8, pixels: bytes | None = None) -> bytes:
    """A PNG from its parts; black if no *pixels* (raw rows with filter bytes) are given."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    if pixels is None:
        pixels = bytes(height * (1 + (width * channels * depth + 7) // 8))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND")
