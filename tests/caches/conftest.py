"""A Redis cache on the tests' server, and a plain client beside it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from service.caches.redis import RedisCache
from service.pictures.values import Entry, Owner
from tests.conftest import Valkey

ENTRY = Entry(version="1-2-3", stored_at=1_700_000_000.25, detail="first-frame", body=b"\x00\xff picture")
_prefixes = itertools.count()


def redis_cache(url: str, **changes: Any) -> RedisCache:
    options: dict[str, Any] = {"timeout": 5.0, "max_fields": 8, "lease": 2.0, "fence": 10.0}
    return RedisCache(url, **({"prefix": f"contract-{next(_prefixes)}"} | options | changes))


async def keep(cache: RedisCache, owner: Owner, field: str, entry: Entry = ENTRY, life: float = 60.0) -> bool:
    return await cache.put(owner, field, entry, await cache.fence(owner), life=life)


async def got(cache: RedisCache, owner: Owner, field: str) -> Entry | None:
    (found,) = await cache.get(owner, (field,))
    return found


@pytest.fixture
async def client(shared_valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(shared_valkey.url) as made:
        yield made


@pytest.fixture
async def cache(shared_valkey: Valkey) -> AsyncIterator[RedisCache]:
    made = redis_cache(shared_valkey.url)
    yield made
    await made.close()
