"""One suite for every rendition cache: memory, and Valkey over a real connection."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from service.caches.memory import MemoryCache
from service.caches.redis import RedisCache
from service.pictures.ports import RenditionCache
from service.pictures.values import BLANK, Entry, EntryHead

ENTRY = Entry(version="1-2-3", stored_at=1_700_000_000.25, detail="first-frame", body=b"\x00\xff picture")
_prefixes = itertools.count()


@pytest.fixture(params=["memory", "valkey"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[RenditionCache]:
    made: RenditionCache
    if request.param == "memory":
        made = MemoryCache(1_000_000)
    else:
        server = request.getfixturevalue("shared_valkey")
        made = redis_cache(server.url)
    yield made
    await made.close()


def redis_cache(url: str, **changes: Any) -> RedisCache:
    options: dict[str, Any] = {
        "timeout": 1.0,
        "put_timeout": 5.0,
        "connections": 4,
        "kept_for": 60,
        "mezzanine_for": 10,
        "max_fields": 8,
    }
    return RedisCache(url, **({"prefix": f"contract-{next(_prefixes)}"} | options | changes))


async def test_gives_back_exactly_what_was_put(cache: RenditionCache) -> None:
    await cache.put(42, "319:0:contain:JPEG:d", ENTRY)
    assert await cache.get(42, "319:0:contain:JPEG:d") == ENTRY


async def test_misses_what_was_never_put(cache: RenditionCache) -> None:
    await cache.put(42, "one", ENTRY)
    assert await cache.get(42, "other") is None
    assert await cache.get(43, "one") is None
    assert await cache.head(43, "one") is None


async def test_tells_of_an_entry_without_its_body(cache: RenditionCache) -> None:
    await cache.put(42, "one", ENTRY)
    assert await cache.head(42, "one") == EntryHead("1-2-3", "first-frame", len(ENTRY.body))


async def test_a_later_put_takes_the_place_of_an_earlier(cache: RenditionCache) -> None:
    await cache.put(42, "one", ENTRY)
    await cache.put(42, "one", replace(ENTRY, version="4-5-6", body=b"new"))
    found = await cache.get(42, "one")
    assert found is not None
    assert (found.version, found.body) == ("4-5-6", b"new")


async def test_placeholders_have_an_owner_of_their_own(cache: RenditionCache) -> None:
    await cache.put(BLANK, "one", ENTRY)
    assert await cache.get(BLANK, "one") == ENTRY
    assert await cache.get(0, "one") is None


@pytest.mark.parametrize("body", [b"", b"\x00" * 3_000], ids=["empty", "zeros"])
async def test_any_bytes_are_kept(cache: RenditionCache, body: bytes) -> None:
    await cache.put(1, "one", replace(ENTRY, body=body, detail=""))
    assert await cache.get(1, "one") == replace(ENTRY, body=body, detail="")


async def test_says_what_it_is(cache: RenditionCache) -> None:
    assert await cache.check()
