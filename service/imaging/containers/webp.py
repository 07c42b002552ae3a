"""The chunks of a WebP (RFC 9649). This module does not import Pillow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from service.imaging.containers import exif
from service.imaging.containers.container import Container, Outline, turned
from service.imaging.containers.window import Bytes
from service.imaging.geometry import Size

_FIRST_CHUNK = 12
"""Bytes before the first chunk."""
_MAX_CHUNKS = 5_000
"""Chunks that are walked for the size. The size of a file with more of them is unknown."""
_MAX_EXIF = 1_048_576
"""Bytes of EXIF that are read."""
_HELD = 12.0
"""Bytes per pixel of libwebp's two canvases and of its output (`python -m tools.bench memory`)."""
_ALPHA, _EXIF, _XMP = 0x10, 0x08, 0x04
"""Flags of the VP8X chunk."""


class WebpChunk(NamedTuple):
    """A chunk's name, and where its content begins and ends. By its length, it may end after the data."""

    name: bytes
    begin: int
    end: int

    @property
    def after(self) -> int:
        """Where the next chunk begins, after a byte of padding if the length is odd."""
        return self.end + (self.end - self.begin) % 2


def _chunks(data: Bytes, end: int) -> Iterator[WebpChunk]:
    """Yield the chunks up to *end*, or up to where *data* gives no more bytes."""
    at = _FIRST_CHUNK
    while at + 8 <= end and len(head := data[at : at + 8]) == 8:
        chunk = WebpChunk(head[:4], at + 8, at + 8 + _little(head[4:]))
        yield chunk
        at = chunk.after


def _matches(head: bytes) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def _alpha(data: Bytes) -> bool:
    head = data[:25]
    kind = head[12:16]
    if kind == b"VP8X" and len(head) > 20:
        return bool(head[20] & _ALPHA)
    return kind == b"VP8L" and len(head) > 24 and bool(head[24] & 0x10)


def _canvas(head: bytes) -> Size | None:
    """Return the size of the canvas, or of the only frame, from the first 30 bytes."""
    kind = head[12:16]
    if kind == b"VP8L" and len(head) >= 25:
        bits = _little(head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(head) < 30:
        return None
    if kind == b"VP8X":
        return _little(head[24:27]) + 1, _little(head[27:30]) + 1
    if kind == b"VP8 ":
        return _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF
    return None


def _upright_size(data: Bytes) -> Size | None:
    """Return the canvas, turned by the EXIF chunk where the flag of the extended format announces one."""
    head = data[:30]
    size = _canvas(head)
    if size is None or head[12:16] != b"VP8X" or not head[20] & _EXIF:
        return size
    end, after = min(len(data), 8 + _little(head[4:8])), _FIRST_CHUNK
    for number, chunk in enumerate(_chunks(data, end), start=1):
        if chunk.name == b"EXIF":
            if chunk.end - chunk.begin > _MAX_EXIF:
                return None
            return turned(size, exif.orientation(data[chunk.begin : chunk.end]))
        if number == _MAX_CHUNKS:
            return None
        after = chunk.after
    return size if after + 8 > end else None  # a window gives no more bytes


def _outline(data: bytes, most_frames: int) -> Outline | None:
    """Return the canvas, for which libwebp allocates memory at once, with 0 frames: libwebp counts them quickly."""
    size = _canvas(data[:30])
    return Outline(*size, 0) if size else None


def _check(data: bytes, max_pixels: int) -> float:
    return _HELD


def _stripped(data: bytes, turn: int, most_frames: int) -> bytes:
    kept = [b"WEBP"]
    block = exif.block_of(turn)
    for name, begin, end in _chunks(data, len(data)):
        body = data[begin:end]
        if name == b"VP8X":
            flags = body[0] & ~(_EXIF | _XMP) | (_EXIF if block else 0)
            body = bytes([flags]) + body[1:]
        if name not in (b"EXIF", b"XMP "):
            kept.append(_written(name, body))
    if block:
        kept.append(_written(b"EXIF", block))
    joined = b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(joined)) + joined


def _written(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


CONTAINER = Container(_matches, _upright_size, _alpha, _outline, _check, _stripped)
