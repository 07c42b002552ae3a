"""Pictures made in code, small and with known pixels: four coloured quarters, hostile parts, a way to look at files."""

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


def see_through(width: int = 64, height: int = 48) -> Image.Image:
    """Red on the left, nothing on the right."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, width // 2, height))
    return image


def large(width: int = 2400, height: int = 1800) -> Image.Image:
    """Quarters under grain, so that a file of it is as large as a photograph's."""
    grain = Image.effect_noise((width, height), 60).convert("RGB")
    return Image.blend(quarters(width, height), grain, 0.1)


def animation(kind: str = "GIF", frames: int = 3, side: int = 32) -> bytes:
    """Full frames of red, green, blue, … of 100 ms each, for ever."""
    colours = (RED, GREEN, BLUE, YELLOW)
    first, *rest = (Image.new("RGB", (side, side), colours[at % 4]) for at in range(frames))
    return saved(first, kind, save_all=True, append_images=rest, duration=100, loop=0)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """*image* as the bytes of a file."""
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
    """Whether two pixels have about the same colour; lossy formats are not exact."""
    return len(one) == len(other) and all(abs(a - b) <= within for a, b in zip(one, other, strict=True))


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *extra: bytes, colour: int = 2, depth: int = 8, pixels: bytes | None = None) -> bytes:
    """A PNG from its parts; black if no *pixels* (raw rows with filter bytes) are given."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    if pixels is None:
        pixels = bytes(height * (1 + (width * channels * depth + 7) // 8))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND")
