"""Shared caches: `connect` makes them for every adapter, `redis` on the server that the tests share."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from service.caches.redis import RedisCache
from service.pictures.ports import SharedCache
from service.pictures.values import Entry, Owner
from tests.caches.stub import StubCache, StubServer
from tests.conftest import Valkey

ENTRY = Entry(version="1-2-3", stored_at=1_700_000_000.25, detail="first-frame", body=b"\x00\xff picture")
SECRET = "what the processes of the fleet know alone"
Connect = Callable[..., SharedCache]
_prefixes = itertools.count()


def redis_cache(url: str, **changes: Any) -> RedisCache:
    options: dict[str, Any] = {"timeout": 5.0, "max_body": 1_000_000, "max_fields": 8, "lease": 2.0, "fence": 10.0}
    return RedisCache(url, **({"prefix": f"contract-{next(_prefixes)}", "secret": SECRET} | options | changes))


async def keep(cache: SharedCache, owner: Owner, field: str, entry: Entry = ENTRY, life: float = 60.0) -> bool:
    return await cache.put(owner, field, entry, await cache.fence(owner), life=life)


async def found(cache: SharedCache, owner: Owner, field: str) -> Entry | None:
    (entry,) = await cache.get(owner, (field,))
    return entry


class Subscriber:
    """The purges that a cache reports after the subscription is up for the first time, and the states of the latter."""

    def __init__(self, cache: SharedCache) -> None:
        self.purged: list[int | None] = []
        self.states: list[bool] = []
        cache.subscribe(self.purged.append, self._on_change)

    def _on_change(self, up: bool) -> None:
        if up and True not in self.states:
            self.purged.clear()
        self.states.append(up)


@pytest.fixture(params=["redis", "stub"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Return a function that makes caches, each as another process would, on one server."""
    if request.param == "redis":
        url, prefix = request.getfixturevalue("shared_valkey").url, f"contract-{next(_prefixes)}"
    server, made = StubServer(), []

    def connect(**options: Any) -> SharedCache:
        stub = request.param == "stub"
        made.append(StubCache(server, **options) if stub else redis_cache(url, prefix=prefix, **options))
        return made[-1]

    yield connect
    for each in made:
        await each.close()


@pytest.fixture
def cache(connect: Connect) -> SharedCache:
    return connect()


@pytest.fixture
async def client(shared_valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(shared_valkey.url) as made:
        yield made


@pytest.fixture
async def redis(shared_valkey: Valkey) -> AsyncIterator[RedisCache]:
    made = redis_cache(shared_valkey.url)
    yield made
    await made.close()
