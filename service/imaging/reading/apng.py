"""An animated PNG taken apart: every frame a small PNG of its own, for a decoder to read.

Knows nothing of what they add up to.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from PIL import Image, PngImagePlugin

from service.formats import Format
from service.imaging.reading.decode import plain
from service.imaging.reading.parts import Disposal, Part
from service.imaging.reading.readers import Metered

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CONTROL = struct.Struct(">IIIIIHHBB")
"""Sequence number, width, height, left, top, delay and its unit, disposal, blending (PNG, third edition, 11.3.3.2)."""

_MAX_CHUNKS = 150_000
"""Chunks that are walked; an honest PNG of 32 MiB in chunks of 8 KiB has 4,000."""


def parts(data: bytes) -> Iterator[Part]:
    """Every frame of an animated PNG, in the order of the file.

    Raises:
        ValueError: frames out of order or outside the canvas, a damaged chunk, or too many.
    """
    head, colours = b"", b""
    control: bytes | None = None
    body: list[bytes] = []
    expected = 0
    for kind, content in _chunks(data):
        if kind == b"IHDR":
            head = content
        elif kind in (b"PLTE", b"tRNS"):
            colours += _chunk(kind, content)
        elif kind in (b"fcTL", b"fdAT"):
            if int.from_bytes(content[:4], "big") != expected:
                raise ValueError("frames out of order")
            expected += 1
        if kind == b"IDAT" and control is not None:
            body.append(content)
        elif kind == b"fdAT":
            body.append(content[4:])
        elif kind in (b"fcTL", b"IEND"):
            if control is not None:
                yield _part(control, head, colours, b"".join(body))
            control, body = content, []


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(data):
            return
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind in (b"fcTL", b"fdAT") and zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError("a damaged chunk")
        yield kind, data[at + 8 : end]
        if kind == b"IEND":
            return
        at = end + 4
    raise ValueError("too many chunks")


def _part(control: bytes, head: bytes, colours: bytes, body: bytes) -> Part:
    _, width, height, left, top, delay, unit, disposal, blending = _CONTROL.unpack(control)
    across, down = struct.unpack(">II", head[:8])
    if left + width > across or top + height > down:
        raise ValueError("a frame outside the canvas")
    ihdr = _chunk(b"IHDR", control[4:12] + head[8:])
    file = _SIGNATURE + ihdr + colours + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    image: Image.Image = PngImagePlugin.PngImageFile(Metered(file, Format.PNG))
    image.load()
    time = 1000 * delay / (unit or 100)
    return Part(plain(image, head[8]), left, top, time, Disposal(disposal), over=blending == 1)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
