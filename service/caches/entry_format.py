"""The stored form of an entry: a head with format, lengths, texts and a seal; the body; a seal. It is never unpickled.

A *seal* is the tag of AES-GMAC under a key from a secret. It covers all that is before it, and the place of the value.
The head has the random nonce of both seals, whose keys differ. Without a secret the keys are known to all, so the seals
are no more than checksums. A *reference* is a head alone, whose body is in another place.
"""

from __future__ import annotations

import os
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct
from typing import TYPE_CHECKING

from service.pictures.values import Entry, EntryHead

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MAGIC = b"CIr\x05"
"""The first bytes of the format. A value of another format is a miss, and is replaced."""
_REFERENCE_MAGIC = b"CIl\x05"
"""The first bytes of a reference."""
_HEAD = Struct(">4sdIHH")
"""Magic, Unix seconds of the entry, and the lengths of body, version and detail in bytes."""
VERSION_AT = _HEAD.size
"""Bytes before the version of the original. Its length is the second-last number of the header: the scripts read it."""
_NONCE = 12
"""Bytes of the nonce. Two of 2^32 random ones are equal with a probability of 2^-33."""
_TAG = 16
"""Bytes of a seal."""
LONGEST_HEAD = 512
"""Bytes of a head at most. A lookup that needs no body reads only these of a value."""
_MAX_TIME = 1e11
"""Unix seconds that no entry reaches."""
_MEMOISED = 1024
"""Bytes of the largest value whose unpacking is memoised. Records are smaller, and hot ones are unpacked often."""


class EntryFormat:
    """The format under one *secret*. An empty secret is known to all.

    A value counts only in the *place* for which it was packed.
    """

    def __init__(self, secret: str) -> None:
        keys = blake2b(secret.encode(), digest_size=64).digest()
        self._head_seals, self._seals = _Seals(keys[:32]), _Seals(keys[32:])
        self._unpack_small = lru_cache(4096)(self._unpack)

    def pack(self, entry: Entry, place: str) -> bytes:
        """Return *entry* as bytes."""
        nonce = os.urandom(_NONCE)
        value = self._head(_MAGIC, entry, nonce, place) + entry.body
        return value + self._seals.tag(nonce, value, place)

    def pack_reference(self, entry: Entry, place: str) -> bytes:
        """Return a reference to *entry*, whose *place* is that of the reference."""
        return self._head(_REFERENCE_MAGIC, entry, os.urandom(_NONCE), place)

    def unpack(self, value: bytes | memoryview, place: str) -> Entry | EntryHead | None:
        """Return the entry of *value*, or the head of the entry to which it refers.

        Return None if it is damaged, or was packed for another place or under another secret.
        """
        if len(value) > _MEMOISED:
            return self._unpack(memoryview(value), place)
        return self._unpack_small(bytes(value), place)

    def unpack_head(self, beginning: bytes, size: int, place: str) -> EntryHead | None:
        """Return the head of a value of *size* bytes, from its first `LONGEST_HEAD` bytes. Return None as `unpack`."""
        if len(beginning) < VERSION_AT:
            return None
        magic, stored_at, length, version, detail = _HEAD.unpack_from(beginning)
        middle, end = VERSION_AT + version, VERSION_AT + version + detail
        begin = end + _NONCE + _TAG
        whole = begin + length + _TAG if magic == _MAGIC else begin
        if magic not in (_MAGIC, _REFERENCE_MAGIC) or size != whole or begin > min(len(beginning), LONGEST_HEAD):
            return None
        head = memoryview(beginning)
        if not _is_time(stored_at) or not self._head_seals.hold(head[end : end + _NONCE], head[:begin], place):
            return None
        try:
            return EntryHead(str(head[VERSION_AT:middle], "utf-8"), str(head[middle:end], "utf-8"), length)
        except UnicodeDecodeError:
            return None

    def _head(self, magic: bytes, entry: Entry, nonce: bytes, place: str) -> bytes:
        version, detail = entry.version.encode(), entry.detail.encode()
        sizes = _HEAD.pack(magic, entry.stored_at, len(entry.body), len(version), len(detail))
        head = b"".join((sizes, version, detail, nonce))
        return head + self._head_seals.tag(nonce, head, place)

    def _unpack(self, value: bytes | memoryview, place: str) -> Entry | EntryHead | None:
        if len(value) < VERSION_AT:
            return None
        magic, stored_at, length, version, detail = _HEAD.unpack_from(value)
        if magic == _REFERENCE_MAGIC:
            return self.unpack_head(bytes(value[:LONGEST_HEAD]), len(value), place)
        middle, end = VERSION_AT + version, VERSION_AT + version + detail
        begin = end + _NONCE + _TAG
        if magic != _MAGIC or len(value) != begin + length + _TAG or begin > LONGEST_HEAD or not _is_time(stored_at):
            return None
        value = memoryview(value)
        if not self._seals.hold(value[end : end + _NONCE], value, place):
            return None
        try:
            texts = str(value[VERSION_AT:middle], "utf-8"), str(value[middle:end], "utf-8") if detail else ""
        except UnicodeDecodeError:
            return None
        return Entry(texts[0], stored_at, texts[1], bytes(value[begin:-_TAG]))


class _Seals:
    """The seals under one *key*."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher: AESGCM | None = None

    def tag(self, nonce: bytes | memoryview, data: bytes | memoryview, place: str) -> bytes:
        """Return the seal of *data* in its *place*."""
        if self._cipher is None:  # not at the start: the import takes 10 ms
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(self._key)
        # The place is encrypted, and the ciphertext dropped: so nothing is copied to have the tag cover both.
        return self._cipher.encrypt(nonce, place.encode(), data)[-_TAG:]

    def hold(self, nonce: memoryview, sealed: memoryview, place: str) -> bool:
        """Return whether the last bytes of *sealed* are the seal of the others."""
        return compare_digest(self.tag(nonce, sealed[:-_TAG], place), sealed[-_TAG:])


def _is_time(seconds: float) -> bool:
    return 0 <= seconds < _MAX_TIME
