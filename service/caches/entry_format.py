"""A cached value as bytes: versioned, with lengths and a checksum, and never unpickled."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from zlib import crc32

from service.pictures.values import Entry, EntryHead

_MAGIC = b"CIr\x03"
"""Of the encoding. A value of another one is a miss, and is replaced."""
_HEAD = Struct(">4sIdIHH")
"""Magic, CRC-32 of all that follows it, when it was stored (Unix seconds), bytes of body, of version, of detail."""
_SEALED = 8
"""Where what the checksum stands for begins."""
VERSION_AT = _HEAD.size
"""Where the version of the original begins, two numbers of two bytes after its length: the scripts compare it."""
LONGEST_HEAD = 512
"""Bytes that are read to tell of a value without its body."""
_LATEST = 1e11
"""Unix seconds; no clock is that far ahead."""
_SMALL = 1024
"""Bytes; records are such, and hot ones are unpacked over and over."""


def pack(entry: Entry, place: str) -> bytes:
    """*entry* as `unpack` reads it, for its *place* alone: the checksum stands for that too."""
    version, detail, body = entry.version.encode(), entry.detail.encode(), entry.body
    head = _HEAD.pack(_MAGIC, 0, entry.stored_at, len(body), len(version), len(detail))
    rest = head[_SEALED:] + version + detail + body
    return _MAGIC + crc32(rest, crc32(place.encode())).to_bytes(4) + rest


def unpack(value: bytes, place: str) -> Entry | None:
    """What `pack` was given, or None for what is damaged, cut short, foreign, of another place or version."""
    return _unpack(value, place) if len(value) > _SMALL else _unpack_small(value, place)


def unpack_head(beginning: bytes, size: int) -> EntryHead | None:
    """What the first `LONGEST_HEAD` bytes tell of a value of *size* bytes; None as `unpack`."""
    head = _parse(beginning, size)
    return EntryHead(head[2], head[3], size - head[4]) if head else None


def _unpack(value: bytes, place: str) -> Entry | None:
    head = _parse(value, len(value))
    if head is None or crc32(memoryview(value)[_SEALED:], crc32(place.encode())) != head[0]:
        return None
    _, stored_at, version, detail, begin = head
    return Entry(version, stored_at, detail, value[begin:])


_unpack_small = lru_cache(4096)(_unpack)


def _parse(beginning: bytes, size: int) -> tuple[int, float, str, str, int] | None:
    """The checksum, when it was stored, version, detail, and where the body begins."""
    if len(beginning) < VERSION_AT:
        return None
    magic, checksum, stored_at, length, version, detail = _HEAD.unpack_from(beginning)
    middle, begin = VERSION_AT + version, VERSION_AT + version + detail
    if magic != _MAGIC or size != begin + length or len(beginning) < begin or not 0 <= stored_at < _LATEST:
        return None
    try:
        return checksum, stored_at, beginning[VERSION_AT:middle].decode(), beginning[middle:begin].decode(), begin
    except UnicodeDecodeError:
        return None
