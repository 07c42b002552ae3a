"""Bodies above 256 KiB in Redis: other lookups do not wait for them, and they have more time while bytes come."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.caches.redis import RedisCache
from service.pictures.ports import CacheUnavailable, FenceToken
from service.pictures.values import RECORD, Entry, EntryHead, MezzanineOwner
from tests.caches.conftest import ENTRY, found, keep, redis_cache
from tests.caches.slow_link import slow_link
from tests.conftest import Valkey

MEBIBYTE = 1_048_576
LARGE = replace(ENTRY, body=bytes(range(256)) * 2_000)
SMALL = replace(ENTRY, body=bytes(262_144))


async def test_lookups_do_not_wait_for_a_large_body(own_valkey: Valkey, tmp_path: Path) -> None:
    large = replace(ENTRY, body=bytes(8 * MEBIBYTE))
    async with slow_link(own_valkey, tmp_path / "slow.sock", piece=65_536, pause=0.5) as link:
        cache = redis_cache(link.url, timeout=60.0, max_body=8 * MEBIBYTE)
        await keep(cache, 1, "large", large)
        await keep(cache, 2, "small")
        for lookup in (cache.get(1, ("large",)), cache.acquire(1, "large", ENTRY.version)):
            slow = asyncio.ensure_future(lookup)
            await asyncio.sleep(0.1)
            assert await found(cache, 2, "small") == ENTRY
            assert await cache.head(1, "large") == EntryHead(ENTRY.version, ENTRY.detail, 8 * MEBIBYTE)
            assert isinstance(await cache.acquire(2, "other", "v"), FenceToken)
            assert not slow.done()  # it takes a minute
            slow.cancel()
        link.close()
        await cache.close()


async def test_body_has_ten_milliseconds_more_for_each_mebibyte_while_bytes_come(
    own_valkey: Valkey, tmp_path: Path
) -> None:
    """The link takes 40 ms, which is more than 30 ms and less than 30 + 50. A busy machine may need several tries."""
    large = replace(ENTRY, body=bytes(5 * MEBIBYTE))
    async with slow_link(own_valkey, tmp_path / "slow.sock", piece=MEBIBYTE, pause=0.008) as link:
        cache = redis_cache(link.url, timeout=0.03, max_body=8 * MEBIBYTE)
        direct = redis_cache(own_valkey.url, max_body=8 * MEBIBYTE, prefix=cache.key(0).partition(":")[0])
        await keep(direct, 1, "large", large)
        for _ in range(100):
            try:
                assert await found(cache, 1, "large") == large
                break
            except CacheUnavailable:
                await asyncio.sleep(0.2)
        else:
            pytest.fail("no try was in time")
        for each in (cache, direct):
            await each.close()


async def test_body_that_stops_half_way_fails_in_time(own_valkey: Valkey, tmp_path: Path) -> None:
    async with slow_link(own_valkey, tmp_path / "slow.sock", piece=65_536, pause=0) as link:
        cache = redis_cache(link.url, timeout=0.05)
        direct = redis_cache(own_valkey.url, prefix=cache.key(0).partition(":")[0])
        await keep(direct, 1, "large", LARGE)
        link.most = 262_144
        begun = time.monotonic()
        with pytest.raises(CacheUnavailable, match="no answer within"):
            await found(cache, 1, "large")
        assert time.monotonic() - begun < 10
        for each in (cache, direct):
            await each.close()


async def test_large_body_has_a_field_of_its_own(redis: RedisCache, client: Redis) -> None:
    for field, entry in (("large", LARGE), ("small", SMALL)):
        await keep(redis, 42, field, entry)
        assert await found(redis, 42, field) == entry
        assert await redis.acquire(42, field, entry.version) == entry
        assert await redis.head(42, field) == EntryHead(entry.version, entry.detail, len(entry.body))
    assert set(await client.hkeys(redis.key(42))) == {b"large", b"large body", b"small"}
    assert await client.hstrlen(redis.key(42), "large") < 100


@pytest.mark.parametrize("owner", [42, MezzanineOwner(42)])
async def test_purge_drops_large_bodies(redis: RedisCache, client: Redis, owner: int | MezzanineOwner) -> None:
    await keep(redis, owner, "one", LARGE)
    await redis.purge(42)
    assert await found(redis, owner, "one") is None
    assert not [key async for key in client.scan_iter(redis.key(42) + "*")]


async def test_later_put_replaces_a_large_body(redis: RedisCache, client: Redis) -> None:
    await keep(redis, 42, "one", LARGE)
    await keep(redis, 42, "one", newer := replace(LARGE, version="4-5-6", body=LARGE.body[::-1]))
    assert await found(redis, 42, "one") == newer
    await keep(redis, 42, "one")
    assert await found(redis, 42, "one") == ENTRY
    assert await client.hkeys(redis.key(42)) == [b"one"]


@pytest.mark.parametrize("value", [b"", b"foreign", None])
async def test_missing_or_damaged_large_body_is_a_miss_and_does_not_prevent_the_lease(
    redis: RedisCache, client: Redis, value: bytes | None
) -> None:
    await keep(redis, 42, "one", LARGE)
    if value is None:
        await client.hdel(redis.key(42), "one body")
    else:
        await client.hset(redis.key(42), "one body", value)
    assert await found(redis, 42, "one") is None
    token = await redis.acquire(42, "one", LARGE.version)
    assert isinstance(token, FenceToken)
    assert token.lease
    assert await redis.put(42, "one", LARGE, token, life=60)
    assert await found(redis, 42, "one") == LARGE


async def test_reference_without_a_body_of_its_own_is_no_entry(redis: RedisCache, client: Redis) -> None:
    await keep(redis, 42, "one", LARGE)
    reference = await client.hget(redis.key(42), "one")
    await client.hset(redis.key(42), "one body", reference)
    assert await found(redis, 42, "one") is None


async def test_large_bodies_count_as_fields(redis: RedisCache, client: Redis) -> None:
    await keep(redis, 42, RECORD)
    for at in range(20):
        await keep(redis, 42, f"{at}", replace(LARGE, version=str(at)))
        assert await found(redis, 42, RECORD) == ENTRY
    assert await client.hlen(redis.key(42)) <= 8
    present = [await found(redis, 42, f"{at}") for at in range(20)]
    assert present[-1] == replace(LARGE, version="19")
    assert all(each is None or each == replace(LARGE, version=str(at)) for at, each in enumerate(present))


async def test_large_value_above_the_limit_is_dropped(own_valkey: Valkey) -> None:
    cache = redis_cache(own_valkey.url, max_body=1_000_000)
    await keep(cache, 42, "one", Entry("v", 0.0, "", bytes(1_000_000)))
    async with Redis.from_url(own_valkey.url) as client:
        value = await client.hget(cache.key(42), "one body")
        await client.hset(cache.key(42), "one body", value.ljust(16_777_216, b"\0"))
        assert await found(cache, 42, "one") is None
        await cache.close()
        assert await client.hkeys(cache.key(42)) == [b"one"]
