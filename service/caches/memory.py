"""The memory cache: renditions in this process, bounded in bytes."""

from __future__ import annotations

from moka_py import Moka

from service.pictures.values import Entry, EntryHead, Owner

_OVERHEAD = 512
"""Bytes that an entry costs besides its body: key, objects and the cache's own links (measured, rounded up)."""


class MemoryCache:
    """A `RenditionCache` on moka (TinyLFU admission), weighed by bytes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: Moka[tuple[Owner, str], Entry] = Moka(capacity, weigher=lambda _key, entry: _weight(entry))

    def near(self, owner: Owner, field: str) -> Entry | None:
        return self._entries.get((owner, field))

    async def get(self, owner: Owner, field: str) -> Entry | None:
        return self._entries.get((owner, field))

    async def head(self, owner: Owner, field: str) -> EntryHead | None:
        entry = self._entries.get((owner, field))
        return EntryHead(entry.version, entry.detail, len(entry.body)) if entry else None

    async def put(self, owner: Owner, field: str, entry: Entry) -> None:
        if _weight(entry) <= self._capacity:  # moka would hold a larger one until its next maintenance
            self._entries.set((owner, field), entry)

    async def check(self) -> str:
        return f"memory, {self._entries.weighted_size():,} bytes in {self._entries.count():,} entries"

    async def close(self) -> None:
        self._entries.clear()


def _weight(entry: Entry) -> int:
    return len(entry.body) + _OVERHEAD
