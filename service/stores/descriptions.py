"""Descriptions of small pictures that were read before, by the digest of their bytes. Reading a header takes longer."""

from __future__ import annotations

import threading
from array import array

from service.formats import Format
from service.imaging.containers.window import HEAD_BYTES
from service.pictures.values import Original
from service.stores.versions import picture_of

_SLOTS = 262_144
"""Pictures in the table, which takes 4 MiB. Each may be in two of the slots, by two parts of its key."""
_SIDE_BITS = 24
"""Bits of a side in pixels. Larger pictures are not kept."""
_FORMATS = tuple(Format)


class Descriptions:
    """A table of fixed size. Its methods may be called in any thread."""

    def __init__(self) -> None:
        self._keys, self._values = (array("Q", bytes(8 * _SLOTS)) for _ in range(2))
        self._lock = threading.Lock()

    def find(self, contact: int, version: str, size: int, modified: int | None) -> Original | None:
        """Return the original with these values if its bytes have been described before."""
        if size > HEAD_BYTES:
            return None  # the digest does not cover all of it
        key = _key(version)
        with self._lock:
            slot = next((each for each in _slots(key) if self._keys[each] == key), None)
            if slot is None:
                return None
            value = self._values[slot]
        value, alpha = divmod(value, 2)
        value, height = divmod(value, 1 << _SIDE_BITS)
        index, width = divmod(value, 1 << _SIDE_BITS)
        sides = (width, height) if width else None
        return Original(contact, version, size, modified, _FORMATS[index], alpha=bool(alpha), dimensions=sides)

    def keep(self, original: Original) -> None:
        """Keep the description of *original*, unless it has a fault or is large."""
        width, height = original.dimensions or (0, 0)
        if original.size > HEAD_BYTES or original.fault is not None or max(width, height) >> _SIDE_BITS:
            return
        index = _FORMATS.index(original.format)
        key = _key(original.version)
        first, second = _slots(key)
        with self._lock:
            slot = second if self._keys[first] not in (0, key) and self._keys[second] in (0, key) else first
            self._keys[slot] = key
            self._values[slot] = (((index << _SIDE_BITS | width) << _SIDE_BITS | height) << 1) | original.alpha


def _slots(key: int) -> tuple[int, int]:
    return key % _SLOTS, (key >> 32) % _SLOTS


def _key(version: str) -> int:
    size, digest = picture_of(version)
    return int(digest[:16], 16) ^ int(size, 16)
