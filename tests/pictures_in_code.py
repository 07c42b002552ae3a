"""Pictures made in code, with known pixels, and functions that decode files and compare pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import ExifTags, Image

from service.formats import Fit, Format
from service.imaging.order import Encoding, Limits, Order, Rendered
from service.imaging.render import render

RED, GREEN, BLUE, YELLOW = (230, 20, 20), (20, 200, 20), (20, 20, 230), (230, 230, 20)


def quarters(width: int = 80, height: int = 60, mode: str = "RGB") -> Image.Image:
    """Return a picture of four quarters: red and green above blue and yellow."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image.convert(mode)


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Return the colours, in RGB, of the middles of the four quarters."""
    across, down = image.size
    rgb = image.convert("RGB")
    return [rgb.getpixel((x, y)) for y in (down // 4, down * 3 // 4) for x in (across // 4, across * 3 // 4)]


_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""By EXIF orientation: how an upright picture is turned to be stored."""


def stored(orientation: int, image: Image.Image | None = None) -> Image.Image:
    """Return an upright *image*, or four quarters, as it is stored with that EXIF *orientation*."""
    image = image or quarters(160, 120)
    return image.transpose(_STORED[orientation]) if orientation in _STORED else image


def exif_block(orientation: int) -> bytes:
    """Return EXIF with that *orientation*."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block.tobytes()


def pngs_with_exif(orientation: int) -> dict[str, bytes]:
    """Return PNGs that have their EXIF in every place where readers look for it.

    ImageMagick wrote it as text before there was a chunk for it.
    """
    image, block = saved(stored(orientation), "PNG"), exif_block(orientation)
    start, end = image.index(b"IDAT") - 4, image.rindex(b"IEND") - 4
    lines = "\n".join(block.hex()[at : at + 72] for at in range(0, len(block.hex()), 72))
    text = f"\nexif\n{len(block):8}\n{lines}\n".encode()
    tiff = block.removeprefix(b"Exif\0\0")
    chunks = {
        "before": (start, chunk(b"eXIf", tiff)),
        "after": (end, chunk(b"eXIf", tiff)),
        "with a needless prefix": (start, chunk(b"eXIf", block)),
        "text": (end, chunk(b"tEXt", b"Raw profile type exif\0" + text)),
        "packed text": (start, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))),
    }
    return {name: image[:at] + more + image[at:] for name, (at, more) in chunks.items()}


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


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *extra: bytes, colour: int = 2, depth: int = 8, pixels: bytes | None = None) -> bytes:
    """Return a PNG with the chunks *extra*. *pixels* are raw rows with filter bytes; without them it is black."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    if pixels is None:
        pixels = bytes(height * (1 + (width * channels * depth + 7) // 8))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND")
