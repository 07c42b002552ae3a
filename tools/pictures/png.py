"""PNG files that are built of chunks, without Pillow."""

from __future__ import annotations

import struct
import zlib


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
