"""The memory cache: renditions in this process, bounded in bytes."""

from __future__ import annotations

from array import array

from moka_py import Moka

from service.pictures.values import Entry, MezzanineOwner, Owner

_OVERHEAD = 512
"""Bytes that an entry costs besides its body: key, objects and the cache's own links (measured, rounded up)."""
_EPOCHS = 16_384
"""Contacts that share an epoch are forgotten together: one in so many, and the table stays small."""


class MemoryCache:
    """A `MemoryTier` on moka (TinyLFU admission), weighed by bytes; *capacity* 0 keeps nothing.

    The epoch is part of every key: to forget a contact is to count on, and what belongs to an earlier epoch is never
    found again, even if it is put later. It goes as what is never asked for goes.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: Moka[tuple[Owner, str, int], Entry] = Moka(capacity, weigher=lambda _key, entry: _weight(entry))
        self._epochs = array("Q", bytes(8 * _EPOCHS))

    def get(self, owner: Owner, field: str) -> Entry | None:
        return self._entries.get((owner, field, self._epochs[_slot(owner)]))

    def put(self, owner: Owner, field: str, entry: Entry, epoch: int) -> None:
        if _weight(entry) <= self._capacity:  # moka would hold a larger one until its next maintenance
            self._entries.set((owner, field, epoch), entry)

    def epoch(self, owner: Owner) -> int:
        return self._epochs[_slot(owner)]

    def forget(self, contact: int | None) -> None:
        if contact is None:
            for slot in range(_EPOCHS):
                self._epochs[slot] += 1
            self._entries.clear()
        else:
            self._epochs[_slot(contact)] += 1


def _slot(owner: Owner) -> int:
    if isinstance(owner, int):
        return owner % _EPOCHS
    return owner.contact % _EPOCHS if isinstance(owner, MezzanineOwner) else 0


def _weight(entry: Entry) -> int:
    return len(entry.body) + _OVERHEAD
