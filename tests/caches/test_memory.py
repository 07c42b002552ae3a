"""The memory cache's bound."""

from __future__ import annotations

from service.caches.memory import MemoryCache
from service.pictures.values import Entry


async def test_holds_no_more_bytes_than_it_may() -> None:
    cache = MemoryCache(100_000)
    for contact in range(500):
        await cache.put(contact, "one", Entry("v", 0.0, "", bytes(10_000)))
    kept = [contact for contact in range(500) if await cache.get(contact, "one")]
    assert 1 <= len(kept) <= 10


async def test_an_entry_larger_than_the_cache_is_not_kept() -> None:
    cache = MemoryCache(1_000)
    await cache.put(1, "one", Entry("v", 0.0, "", bytes(5_000)))
    await cache.check()
    assert await cache.get(1, "one") is None
