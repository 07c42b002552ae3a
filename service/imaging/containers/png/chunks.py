"""The sequence of chunks in a PNG (section 5). This module does not import Pillow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from service.imaging.containers.window import Bytes
from service.imaging.errors import too_much_work

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">I4s")
_MAX_CHUNKS = 40_000
"""Chunks that are walked, in less than 0.1 s. A PNG of 32 MiB in chunks of 1 KiB has 32,000."""

Span = tuple[int, int]
"""Where a range of bytes begins and ends."""


class Chunk(NamedTuple):
    """A chunk's type, and where its content begins and ends."""

    kind: bytes
    begin: int
    end: int


def chunks(data: Bytes) -> Iterator[Chunk]:
    """Yield every chunk up to IEND, or up to where no chunk begins. By its length, the last may end after *data*.

    Raises:
        Unrenderable: there are too many chunks.
    """
    at = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        head = data[at : at + 8]
        if len(head) < 8 or not head[4:].isalpha():
            return
        length, kind = _HEAD.unpack(head)
        yield Chunk(kind, at + 8, at + 8 + length)
        if kind == b"IEND":
            return
        at += 12 + length
    raise too_much_work()


def ancillary(kind: bytes) -> bool:
    """Return whether a reader may pass over chunks of type *kind* (5.4)."""
    return bool(kind[0] & 0x20)


def sound(data: Bytes, found: Chunk) -> bool:
    """Return whether the checksum of the chunk *found* is right."""
    kind, begin, end = found
    content = memoryview(data)[begin:end] if isinstance(data, bytes) else data[begin:end]
    return crc32(content, crc32(kind)) == int.from_bytes(data[end : end + 4], "big")


def written(kind: bytes, content: bytes) -> bytes:
    """Return the bytes of a chunk of type *kind* in a file."""
    return b"".join((_HEAD.pack(len(content), kind), content, crc32(content, crc32(kind)).to_bytes(4, "big")))
