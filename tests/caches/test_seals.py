"""Values that a stranger has written into the server: they are misses, and are counted as foreign."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from struct import Struct

import pytest
from redis.asyncio import Redis

from service.caches.entry_format import EntryFormat
from service.caches.redis import RedisCache
from service.pictures.ports import FenceToken
from service.pictures.values import Entry, MezzanineOwner, Owner
from tests.caches.conftest import ENTRY, found, keep, redis_cache
from tests.conftest import Valkey

LARGE = replace(ENTRY, body=bytes(300_000))
LIE = replace(ENTRY, body=b"another face")


@pytest.fixture
def counted() -> list[str]:
    return []


@pytest.fixture
async def fleet(shared_valkey: Valkey, counted: list[str]) -> AsyncIterator[RedisCache]:
    made = redis_cache(shared_valkey.url, count=counted.append)
    yield made
    await made.close()


@pytest.fixture(params=["", "thirty-two characters of a stranger"], ids=["no secret", "another secret"])
async def stranger(
    request: pytest.FixtureRequest, shared_valkey: Valkey, fleet: RedisCache
) -> AsyncIterator[RedisCache]:
    """The service itself, but for the secret."""
    made = redis_cache(shared_valkey.url, prefix=fleet.key(0).partition(":")[0], secret=request.param)
    yield made
    await made.close()


@pytest.mark.parametrize("owner", [42, MezzanineOwner(42)])
@pytest.mark.parametrize("entry", [LIE, LARGE], ids=["small", "large"])
async def test_value_of_a_stranger_is_a_miss_and_is_counted(
    fleet: RedisCache, stranger: RedisCache, counted: list[str], owner: Owner, entry: Entry
) -> None:
    await keep(stranger, owner, "one", entry)
    assert await found(stranger, owner, "one") == entry
    assert await fleet.get(owner, ("one", "two")) == [None, None]
    assert counted == ["foreign"]
    assert await fleet.head(owner, "one") is None
    assert counted == ["foreign"] * 2
    token = await fleet.acquire(owner, "one", entry.version)
    assert isinstance(token, FenceToken)
    assert token.lease
    assert counted == ["foreign"] * 3
    assert await fleet.put(owner, "one", ENTRY, token, life=60)
    assert await found(fleet, owner, "one") == ENTRY
    assert await found(stranger, owner, "one") is None  # as during a change of the secret


async def test_reference_of_a_stranger_leads_to_no_body(
    fleet: RedisCache, stranger: RedisCache, counted: list[str], client: Redis
) -> None:
    await keep(fleet, 42, "one", LARGE)
    await keep(stranger, 43, "one", replace(LARGE, version="4-5-6"))
    for field in ("one", "one body"):
        own = await client.hget(fleet.key(42), field)
        await client.hset(fleet.key(42), field, await client.hget(fleet.key(43), field))
        assert await found(fleet, 42, "one") is None
        await client.hset(fleet.key(42), field, own)
        assert await found(fleet, 42, "one") == LARGE
    assert counted == ["foreign"] * 2


async def test_references_without_end_cost_two_lookups(shared_valkey: Valkey, client: Redis) -> None:
    """Without a secret, a stranger can write references to references."""
    cache, forged = redis_cache(shared_valkey.url, secret=""), EntryFormat("")
    field = "one"
    for _ in range(50):
        await client.hset(cache.key(42), field, forged.pack_reference(LARGE, f" {cache.key(42)} {field}"))
        field += " body"
    await client.hset(cache.key(42), field, forged.pack(LARGE, f" {cache.key(42)} {field}"))
    await client.config_resetstat()
    assert await found(cache, 42, "one") is None
    assert (await client.info("commandstats"))["cmdstat_hmget"]["calls"] == 2
    await cache.close()


async def test_replayed_body_of_another_version_is_not_taken_for_the_version_that_was_asked_for(
    fleet: RedisCache, client: Redis
) -> None:
    await keep(fleet, 42, "one", LARGE)
    old = await client.hget(fleet.key(42), "one body")
    await keep(fleet, 42, "one", newer := replace(LARGE, version="4-5-6"))
    await client.hset(fleet.key(42), "one body", old)
    token = await fleet.acquire(42, "one", newer.version)
    assert isinstance(token, FenceToken)
    assert token.lease


async def test_value_of_an_earlier_release_is_a_miss_and_is_replaced(
    fleet: RedisCache, counted: list[str], client: Redis
) -> None:
    value = Struct(">4s4sdIHH").pack(b"CIr\x04", b"\x12\x34\x56\x78", 1_700_000_000.0, 7, 5, 0) + b"1-2-3picture"
    await client.hset(fleet.key(42), "one", value)
    assert await found(fleet, 42, "one") is None
    assert await fleet.head(42, "one") is None
    token = await fleet.acquire(42, "one", "1-2-3")
    assert isinstance(token, FenceToken)
    assert await fleet.put(42, "one", ENTRY, token, life=60)
    assert await found(fleet, 42, "one") == ENTRY
    assert set(counted) == {"foreign"}


async def test_identities_of_stores_that_a_stranger_has_noted_are_bounded(fleet: RedisCache, client: Redis) -> None:
    now = time.time()
    names = ["another store", "x" * 5_000_000, "x" * 1_025, b"\xff"]
    await client.zadd(f"{fleet.key(0).partition(':')[0]}:stores", {name: now + at for at, name in enumerate(names)})
    assert {*await fleet.stores("own")} == {"own", "another store", "\ufffd"}


async def test_fence_that_a_stranger_has_written_is_replaced_if_it_is_too_long(
    fleet: RedisCache, client: Redis
) -> None:
    await client.set(f"{fleet.key(42)}:fence", bytes(500_000))
    assert len((await fleet.fence(42)).fence) < 64
    assert await keep(fleet, 42, "one")
