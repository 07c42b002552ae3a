"""The stored form of an entry: a header with format and lengths, the texts, the body and a seal. It is never unpickled.

A *reference* has no body: that is in another place. The *seal* is a random nonce and the tag of AES-GMAC under a key
from a secret. It covers the whole value and its place. Without a secret the key is known to all, so the tag is no more
than a checksum.
"""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
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
"""Bytes of the tag."""
_SEAL = _NONCE + _TAG
"""Bytes at the end of a value."""
LONGEST_REST = 512
"""Bytes of a value at most in addition to its body."""
_MAX_TIME = 1e11
"""Unix seconds that no entry reaches."""
_MEMOISED = 1024
"""Bytes of the largest value whose unpacking is memoised. Records are smaller, and hot ones are unpacked often."""


class EntryFormat:
    """The format under one *secret*. An empty secret is known to all.

    A value counts only in the *place* for which it was packed.
    """

    def __init__(self, secret: str) -> None:
        self._key = blake2b(secret.encode(), digest_size=32).digest() if secret else bytes(32)
        self._unpack_small = lru_cache(4096)(self._unpack)

    def pack(self, entry: Entry, place: str) -> bytes:
        """Return *entry* as bytes."""
        return self._seal(_MAGIC, entry, entry.body, place)

    def pack_reference(self, entry: Entry, place: str) -> bytes:
        """Return a reference to *entry*, whose *place* is that of the reference."""
        return self._seal(_REFERENCE_MAGIC, entry, b"", place)

    def unpack(self, value: bytes | memoryview, place: str) -> Entry | EntryHead | None:
        """Return the entry of *value*, or the head of the entry to which it refers.

        Return None if it is damaged, or was packed for another place or under another secret.
        """
        if len(value) > _MEMOISED:
            return self._unpack(memoryview(value), place)
        return self._unpack_small(bytes(value), place)

    def _seal(self, magic: bytes, entry: Entry, body: bytes, place: str) -> bytes:
        version, detail = entry.version.encode(), entry.detail.encode()
        head = _HEAD.pack(magic, entry.stored_at, len(entry.body), len(version), len(detail))
        sealed, nonce = b"".join((head, version, detail, body)), os.urandom(_NONCE)
        return sealed + nonce + self._tag(nonce, sealed, place)

    def _unpack(self, value: bytes | memoryview, place: str) -> Entry | EntryHead | None:
        end = len(value) - _SEAL
        if end < VERSION_AT:
            return None
        magic, stored_at, length, version, detail = _HEAD.unpack_from(value)
        middle, begin = VERSION_AT + version, VERSION_AT + version + detail
        whole = magic == _MAGIC
        if not (whole or magic == _REFERENCE_MAGIC) or end != (begin + length if whole else begin):
            return None
        value = memoryview(value)
        nonce = value[end : end + _NONCE]
        if not 0 <= stored_at < _MAX_TIME or not compare_digest(
            self._tag(nonce, value[:end], place), value[end + _NONCE :]
        ):
            return None
        try:
            texts = str(value[VERSION_AT:middle], "utf-8"), str(value[middle:begin], "utf-8") if detail else ""
        except UnicodeDecodeError:
            return None
        return Entry(texts[0], stored_at, texts[1], bytes(value[begin:end])) if whole else EntryHead(*texts, length)

    def _tag(self, nonce: bytes | memoryview, sealed: bytes | memoryview, place: str) -> bytes:
        # The place is encrypted, and the ciphertext dropped: so nothing is copied to have the tag cover both.
        return self._cipher.encrypt(nonce, place.encode(), sealed)[-_TAG:]

    @cached_property
    def _cipher(self) -> AESGCM:
        """The cipher of the tags. It is imported with the first one, and not at the start: it takes 10 ms."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key)
