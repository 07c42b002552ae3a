"""The memory layer: it is bounded in bytes, and forgets contacts."""

from __future__ import annotations

import time

import pytest

from service.pictures.caching.memory import MemoryCache
from service.pictures.values import PLACEHOLDERS, Entry, MezzanineOwner, Owner

ENTRY = Entry("v", 0.0, "", b"bytes")


def keep(cache: MemoryCache, owner: Owner, field: str = "one", entry: Entry = ENTRY) -> None:
    cache.put(owner, field, entry, cache.epoch(owner))


@pytest.mark.parametrize("owner", [1, -1, 2**31 - 1, PLACEHOLDERS, MezzanineOwner(1)])
def test_get_returns_the_same_object_that_was_put(owner: Owner) -> None:
    cache = MemoryCache(1_000_000)
    keep(cache, owner)
    assert cache.get(owner, "one") is ENTRY
    assert cache.get(owner, "other") is None
    assert cache.get(2, "one") is None


def test_entries_take_no_more_bytes_than_the_capacity() -> None:
    cache = MemoryCache(100_000)
    for contact in range(500):
        keep(cache, contact, entry=Entry("v", 0.0, "", bytes(10_000)))
    kept = [contact for contact in range(500) if cache.get(contact, "one")]
    assert 1 <= len(kept) <= 10


@pytest.mark.parametrize("capacity", [0, 1_000])
def test_entry_larger_than_the_cache_is_not_kept(capacity: int) -> None:
    cache = MemoryCache(capacity)
    keep(cache, 1, entry=Entry("v", 0.0, "", bytes(5_000)))
    assert cache.get(1, "one") is None


def test_forget_drops_all_renditions_of_a_contact_and_its_mezzanine() -> None:
    cache = MemoryCache(1_000_000)
    for owner in (1, 2, MezzanineOwner(1), MezzanineOwner(2), PLACEHOLDERS):
        for field in ("one", "two"):
            keep(cache, owner, field)
    cache.forget(1)
    found = {
        (owner, field)
        for owner in (1, 2, MezzanineOwner(1), MezzanineOwner(2), PLACEHOLDERS)
        for field in ("one", "two")
        if cache.get(owner, field)
    }
    assert {owner for owner, _ in found} == {2, MezzanineOwner(2), PLACEHOLDERS}
    cache.forget(None)
    assert all(cache.get(owner, field) is None for owner, field in found)


def test_many_purges_of_everything_cost_little() -> None:
    """A stranger in Redis may publish them as fast as the server sends."""
    cache = MemoryCache(1_000_000)
    keep(cache, 1)
    begun = time.perf_counter()
    for _ in range(20_000):
        cache.forget(None)
    assert time.perf_counter() - begun < 2  # seconds; it takes 20 ms, and took 18 s
    assert cache.get(1, "one") is None


@pytest.mark.parametrize("forgotten", [7, None])
def test_entry_of_an_earlier_epoch_is_never_found(forgotten: int | None) -> None:
    cache = MemoryCache(1_000_000)
    epoch = cache.epoch(7)
    cache.forget(forgotten)
    cache.put(7, "one", ENTRY, epoch)
    assert cache.get(7, "one") is None
    keep(cache, 7)
    assert cache.get(7, "one") is ENTRY
