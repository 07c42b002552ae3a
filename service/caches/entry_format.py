"""The stored form of an entry: a header with format, lengths and checksum, then the body. It is never unpickled.

A *reference* is a header whose body is in another place. The checksum is a part of AES-GMAC under a key that is no
secret: CRC-32 takes five times as long for 120 KB.
"""

from __future__ import annotations

from functools import cache, lru_cache
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

from service.pictures.values import Entry, EntryHead

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MAGIC = b"CIr\x04"
"""The first bytes of the format. A value of another format is a miss, and is replaced."""
_REFERENCE_MAGIC = b"CIl\x04"
"""The first bytes of a reference."""
_HEAD = Struct(">4s4sdIHH")
"""Magic, checksum of the rest, Unix seconds of the entry, and the lengths of body, version and detail in bytes."""
_CHECKED_FROM = 8
"""Bytes before the part that the checksum covers."""
VERSION_AT = _HEAD.size
"""Bytes before the version of the original. Its length is the second-last number of the header: the scripts read it."""
LONGEST_HEAD = 512
"""Bytes that are read of a value to know it without its body."""
_CHECKSUM = 4
"""Bytes of the checksum."""
_MAX_TIME = 1e11
"""Unix seconds that no entry reaches."""
_MEMOISED = 1024
"""Bytes of the largest value whose unpacking is memoised. Records are smaller, and hot ones are unpacked often."""


def pack(entry: Entry, place: str) -> bytes:
    """Return *entry* as bytes. The checksum includes its *place*, so the value is damaged in any other place."""
    return _pack(_MAGIC, entry, entry.body, place)


def pack_reference(entry: Entry, place: str) -> bytes:
    """Return a reference to *entry*, whose *place* is that of the reference."""
    return _pack(_REFERENCE_MAGIC, entry, b"", place)


def is_reference(value: bytes | memoryview) -> bool:
    """Return whether *value* is a reference. It may be damaged."""
    return value[: len(_REFERENCE_MAGIC)] == _REFERENCE_MAGIC


def unpack(value: bytes | memoryview, place: str) -> Entry | None:
    """Return the entry of *value*, or None if it is damaged, foreign, or packed for another place."""
    if len(value) > _MEMOISED:
        return _unpack(memoryview(value), place)
    return _unpack_small(bytes(value), place) if value else None


def unpack_head(beginning: bytes, size: int) -> EntryHead | None:
    """Return the head of a value of *size* bytes, from its first `LONGEST_HEAD` bytes. Return None as `unpack`.

    The value may be a reference.
    """
    if len(beginning) < VERSION_AT:
        return None
    magic, _, stored_at, length, version, detail = _HEAD.unpack_from(beginning)
    middle, begin = VERSION_AT + version, VERSION_AT + version + detail
    whole = begin + length if magic == _MAGIC else begin
    if magic not in (_MAGIC, _REFERENCE_MAGIC) or size != whole or len(beginning) < begin:
        return None
    if not 0 <= stored_at < _MAX_TIME:
        return None
    try:
        return EntryHead(beginning[VERSION_AT:middle].decode(), beginning[middle:begin].decode(), length)
    except UnicodeDecodeError:
        return None


def _pack(magic: bytes, entry: Entry, body: bytes, place: str) -> bytes:
    version, detail = entry.version.encode(), entry.detail.encode()
    head = _HEAD.pack(magic, b"", entry.stored_at, len(entry.body), len(version), len(detail))
    rest = head[_CHECKED_FROM:] + version + detail + body
    return magic + _checksum(rest, place) + rest


def _unpack(value: memoryview, place: str) -> Entry | None:
    if len(value) < VERSION_AT:
        return None
    magic, checksum, stored_at, length, version, detail = _HEAD.unpack_from(value)
    middle, begin = VERSION_AT + version, VERSION_AT + version + detail
    if magic != _MAGIC or len(value) != begin + length or not 0 <= stored_at < _MAX_TIME:
        return None
    if _checksum(value[_CHECKED_FROM:], place) != checksum:
        return None
    try:
        texts = str(value[VERSION_AT:middle], "utf-8"), str(value[middle:begin], "utf-8") if detail else ""
    except UnicodeDecodeError:
        return None
    return Entry(texts[0], stored_at, texts[1], bytes(value[begin:]))


@lru_cache(4096)
def _unpack_small(value: bytes, place: str) -> Entry | None:
    return _unpack(memoryview(value), place)


def _checksum(data: bytes | memoryview, place: str) -> bytes:
    return _cipher().encrypt(blake2b(place.encode(), digest_size=12).digest(), b"", data)[:_CHECKSUM]


@cache
def _cipher() -> AESGCM:
    """Return the cipher of the checksums. It is imported with the first one, and not at the start: it takes 10 ms."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(bytes(16))
