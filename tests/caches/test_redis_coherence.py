"""Purges, subscriptions and leases on a real server, beyond the contract of `SharedCache`."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.caches.redis import RedisCache
from service.pictures.ports import FenceToken
from service.pictures.values import RECORD, MezzanineOwner
from tests.caches.conftest import ENTRY, Subscriber, found, keep, redis_cache
from tests.conftest import Valkey
from tests.waiting import until


def prefix_of(cache: RedisCache) -> str:
    return cache.key(0).partition(":")[0]


async def test_purge_leaves_no_key_of_the_contact(redis: RedisCache, client: Redis) -> None:
    for owner in (42, MezzanineOwner(42)):
        await keep(redis, owner, "one")
    await redis.purge(42)
    assert not [key async for key in client.scan_iter(redis.key(42) + "*")]


async def test_purge_of_everything_drops_only_the_keys_of_its_prefix(
    shared_valkey: Valkey, redis: RedisCache, client: Redis
) -> None:
    for contact in range(1_200):
        await keep(redis, contact, "one")
    await client.set("foreign", 1)
    longer = redis_cache(shared_valkey.url, prefix=prefix_of(redis) + ":more")
    await keep(longer, 1, "one")
    await redis.purge(None)
    assert await found(longer, 1, "one") == ENTRY
    await longer.close()
    assert [await found(redis, contact, "one") for contact in range(1_200)] == [None] * 1_200
    assert await client.get("foreign") == b"1"


async def test_sole_record_is_the_only_field_and_shortens_the_life_of_the_hash(
    redis: RedisCache, client: Redis
) -> None:
    """The record of a deleted picture is one."""
    await keep(redis, 42, "one", life=1000)
    assert await redis.put(42, RECORD, ENTRY, await redis.fence(42), life=5, sole=True)
    assert await client.hkeys(redis.key(42)) == [RECORD.encode()]
    assert await client.ttl(redis.key(42)) <= 5


async def test_damaged_value_does_not_prevent_the_lease(redis: RedisCache, client: Redis) -> None:
    await keep(redis, 42, "one")
    value = await client.hget(redis.key(42), "one")
    await client.hset(redis.key(42), "one", value[:-1] + b"?")
    token = await redis.acquire(42, "one", ENTRY.version)
    assert isinstance(token, FenceToken)
    assert token.lease


async def test_messages_have_the_form_that_older_releases_understand(redis: RedisCache, client: Redis) -> None:
    subscription = client.pubsub()
    await subscription.subscribe(f"{prefix_of(redis)}:news")
    token = await redis.acquire(42, "one", "v")
    assert isinstance(token, FenceToken)
    assert token.lease
    await redis.release(token.lease)
    await redis.purge(42)
    await redis.purge(None)
    messages: list[str] = []
    async with asyncio.timeout(60):
        while len(messages) < 3:
            message = await subscription.get_message(ignore_subscribe_messages=True, timeout=1.0)
            messages += [message["data"].decode()] if message else []
    await subscription.aclose()  # type: ignore[no-untyped-call]
    arrived, purged, purged_all = (each.split(" ") for each in messages)
    assert arrived == ["arrived", f"{redis.key(42)}:lead:one"]
    assert (purged[0], purged[2]) == ("purged", "42")
    assert (purged_all[0], purged_all[2]) == ("purged", "*")


async def test_subscription_reports_when_the_server_is_gone_or_frozen(own_valkey: Valkey) -> None:
    cache = redis_cache(own_valkey.url)
    states = Subscriber(cache).states
    await until(lambda: states == [True])
    own_valkey.stop()
    await until(lambda: states[-1] is False)
    own_valkey.start()
    await until(lambda: states[-1] is True)
    assert own_valkey.process is not None
    own_valkey.process.send_signal(19)
    try:
        await until(lambda: states[-1] is False)
    finally:
        own_valkey.process.send_signal(18)
    await until(lambda: states[-1] is True)
    await cache.close()


async def test_message_of_four_kibibytes_is_received(redis: RedisCache, client: Redis) -> None:
    subscriber = Subscriber(redis)
    await until(lambda: subscriber.states == [True])
    for contact in range(50):
        await client.publish(f"{prefix_of(redis)}:news", b"purged x 7".ljust(4_096))
        await client.publish(f"{prefix_of(redis)}:news", f"purged x {contact}")
    await until(lambda: sorted(subscriber.purged, key=str) == sorted(range(50), key=str))
    assert subscriber.states == [True]


@pytest.mark.parametrize("size", [4_097, 16_777_216])
async def test_longer_message_ends_the_subscription_and_is_not_read(own_valkey: Valkey, size: int) -> None:
    cache = redis_cache(own_valkey.url)
    subscriber = Subscriber(cache)
    await until(lambda: subscriber.states == [True])
    async with Redis.from_url(own_valkey.url) as client:
        before = (await client.info("stats"))["total_net_output_bytes"]
        with capture_logs() as lines:
            await client.publish(f"{prefix_of(cache)}:news", b"purged x 7 ".ljust(size, b"1"))
            await until(lambda: subscriber.states == [True, False, True])
        sent = (await client.info("stats"))["total_net_output_bytes"] - before
        await client.publish(f"{prefix_of(cache)}:news", "purged x 8")
        await until(lambda: subscriber.purged == [None, 8])
    assert sent < 8_388_608  # what the kernel holds of it
    (line,) = lines
    assert line["event"] == "cache.no_news"
    assert line["reason"] == "ConnectionError: a message has more than 4,096 bytes"
    await cache.close()


async def test_frozen_server_loses_no_message_and_a_killed_one_may(own_valkey: Valkey) -> None:
    cache = redis_cache(own_valkey.url)
    subscriber = Subscriber(cache)
    states, purged = subscriber.states, subscriber.purged
    await until(lambda: states == [True])
    assert own_valkey.process is not None
    own_valkey.process.send_signal(signal.SIGSTOP)
    try:
        await until(lambda: states[-1] is False)
    finally:
        own_valkey.process.send_signal(signal.SIGCONT)
    await until(lambda: states[-1] is True)
    assert purged == []
    own_valkey.stop()
    own_valkey.start()
    await until(lambda: purged == [None])
    await until(lambda: states[-1] is True)
    await cache.close()


async def test_lost_subscription_wakes_the_processes_that_wait_for_a_lease(own_valkey: Valkey) -> None:
    leader, follower = (redis_cache(own_valkey.url, prefix="lost", lease=60.0) for _ in range(2))
    states = Subscriber(follower).states
    await until(lambda: states == [True])
    await leader.acquire(42, "one", "v")
    token = await follower.acquire(42, "one", "v")
    assert isinstance(token, FenceToken)
    assert token.held
    own_valkey.stop()
    await until(token.held.ended.is_set)
    assert states[-1] is False
    for each in (leader, follower):
        await each.close()


async def test_full_server_still_purges_and_announces(own_valkey: Valkey) -> None:
    cache = redis_cache(own_valkey.url)
    subscriber = Subscriber(cache)
    await until(lambda: subscriber.states)
    for contact in range(20):
        await keep(cache, contact, "one", replace(ENTRY, body=bytes(10_000)))
    async with Redis.from_url(own_valkey.url) as client:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", 1)
    other = redis_cache(own_valkey.url, prefix=prefix_of(cache))
    await other.purge(7)
    assert await found(cache, 7, "one") is None
    await until(lambda: subscriber.purged == [7])
    await other.purge(None)
    assert await found(cache, 8, "one") is None
    await until(lambda: subscriber.purged == [7, None])
    for each in (cache, other):
        await each.close()
