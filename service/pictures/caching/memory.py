"""The memory layer: entries in this process, bounded in bytes."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from moka_py import Moka

from service.pictures.values import Entry, MezzanineOwner, Owner, StoredEntry

_OVERHEAD = 512
"""Bytes that an entry takes in addition to its body: key, objects and the links of moka (measured, rounded up)."""
_ORIGINAL = 512
"""Bytes of the original in a `StoredEntry` (measured, rounded up)."""
_EPOCHS = 16_384
"""Counters in the table of epochs. Contacts that share one are forgotten together."""


class MemoryUsage(NamedTuple):
    """The *entries* in memory and their *size* in bytes, which may be *limit*; the number of *evictions* for room."""

    entries: int
    size: int
    limit: int
    evictions: int


class _Evictions:
    """Counts the entries that moka evicts, or does not admit, for want of room. It must not refer to the cache."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _key: object, _entry: object, cause: str) -> None:
        self.count += cause == "size"


class MemoryCache:
    """A cache on moka (TinyLFU admission), weighed by bytes. A *capacity* of 0 bytes keeps nothing.

    Every contact has an epoch, which is part of the key of each of its entries. To forget a contact, its epoch is
    incremented: entries of an earlier epoch are never found again, not even those that are put later. moka evicts them
    as it evicts every entry that is not used.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._evictions = _Evictions()
        self._entries: Moka[tuple[Owner, str, int], Entry] = Moka(
            capacity, weigher=lambda _key, entry: _weight(entry), eviction_listener=self._evictions
        )
        self._epochs = array("Q", bytes(8 * _EPOCHS))
        self._all = 0  # a part of every epoch: to increment all counters takes milliseconds, and messages may be many

    def usage(self) -> MemoryUsage:
        """Return what memory has now. Entries that were forgotten count until they are evicted."""
        cache = self._entries
        return MemoryUsage(cache.count(), cache.weighted_size(), self._capacity, self._evictions.count)

    def get(self, owner: Owner, field: str) -> Entry | None:
        """Return the entry: the same object that was put, until another one replaces it."""
        slot = owner % _EPOCHS if isinstance(owner, int) else _slot(owner)  # a call would take as long as the lookup
        return self._entries.get((owner, field, self._epochs[slot] + self._all))

    def put(self, owner: Owner, field: str, entry: Entry, epoch: int) -> None:
        """Keep *entry*. *epoch* is the owner's epoch from before the entry was read or made."""
        if _weight(entry) <= self._capacity:  # moka would hold a larger one until its next maintenance
            self._entries.set((owner, field, epoch), entry)

    def epoch(self, owner: Owner) -> int:
        """Return the epoch of the owner's contact."""
        return self._epochs[_slot(owner)] + self._all

    def forget(self, contact: int | None) -> None:
        """Drop all entries of *contact*; with None, of all contacts."""
        if contact is None:
            self._all += 1
            self._entries.clear()
        else:
            self._epochs[_slot(contact)] += 1


def _slot(owner: Owner) -> int:
    if isinstance(owner, int):
        return owner % _EPOCHS
    return owner.contact % _EPOCHS if isinstance(owner, MezzanineOwner) else 0


def _weight(entry: Entry) -> int:
    return len(entry.body) + _OVERHEAD + (_ORIGINAL if isinstance(entry, StoredEntry) else 0)
