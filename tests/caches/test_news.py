"""The news of the fleet: what strangers publish costs little, and can only make a process look again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.caches.redis import RedisCache
from service.pictures.caching.memory import MemoryCache
from service.pictures.ports import FenceToken
from service.pictures.values import Entry
from tests.caches.conftest import ENTRY, Subscriber, found, keep, redis_cache
from tests.conftest import Valkey
from tests.waiting import until

UNKNOWN = (
    b"", b"\xff", b"purged", b"purged x", b"purged x -1", b"purged x " + b"9" * 3_000, b"purged x \xd9\xa1", b"arrived",
    b"purged  1", b"purged x 1 ", b"purged x:1 1", b"purged x:1:xyz 1", b"purged x:1:a:1 1", b"PURGED x 1",
    b"purged x *1", b"purged X.1 1", b"arrived elsewhere:{1}:lead:one", b"something else",
)  # fmt: skip


@pytest.fixture
def counted() -> list[str]:
    return []


@pytest.fixture
async def listening(shared_valkey: Valkey, counted: list[str]) -> AsyncIterator[RedisCache]:
    made = redis_cache(shared_valkey.url, count=counted.append)
    yield made
    await made.close()


async def publish(client: Redis, cache: RedisCache, *messages: bytes | str) -> None:
    """Publish *messages* at once."""
    async with client.pipeline(transaction=False) as pipeline:
        for message in messages:
            pipeline.publish(f"{cache.key(0).partition(':')[0]}:news", message)
        await pipeline.execute()


async def test_unknown_news_is_counted_and_dropped(listening: RedisCache, client: Redis, counted: list[str]) -> None:
    subscriber = Subscriber(listening)
    await until(lambda: subscriber.states == [True])
    await publish(client, listening, *UNKNOWN, "purged x 8")
    await until(lambda: subscriber.purged == [8])
    assert counted == ["unknown_news"] * len(UNKNOWN)
    assert subscriber.states == [True]


@pytest.mark.parametrize("message", ["purged x *", "purged x:7:abc *", "purged x 7"])
async def test_many_purges_are_handed_over_a_few_times(listening: RedisCache, client: Redis, message: str) -> None:
    """5,000 messages held the event loop for 10 s."""
    subscriber = Subscriber(listening)
    await until(lambda: subscriber.states == [True])
    await publish(client, listening, *[message] * 5_000, "purged x 8")
    await until(lambda: 8 in subscriber.purged or subscriber.purged[-1:] == [None])
    assert len(subscriber.purged) < 500  # once for each time that bytes arrive


async def test_purges_of_many_contacts_at_once_become_a_purge_of_everything(
    listening: RedisCache, client: Redis
) -> None:
    subscriber = Subscriber(listening)
    await until(lambda: subscriber.states == [True])
    await publish(client, listening, *(f"purged x {contact}" for contact in range(20_000)))
    await until(lambda: None in subscriber.purged or len(subscriber.purged) == 20_000)
    memory = MemoryCache(1_000_000)
    memory.put(7, "one", ENTRY, memory.epoch(7))
    for contact in subscriber.purged:
        memory.forget(contact)
    assert memory.get(7, "one") is None


async def test_news_of_any_generation_makes_a_process_look_again_and_believe_nothing(
    listening: RedisCache, client: Redis
) -> None:
    """A stranger can make values void; the next ones are found again."""
    subscriber = Subscriber(listening)
    await until(lambda: subscriber.states == [True])
    await keep(listening, 42, "one")
    await publish(client, listening, *(f"purged x:{10**11 + at}:{at:x} *" for at in range(2_000)))
    await until(lambda: None in subscriber.purged)

    async def in_use() -> bool:
        await keep(listening, 42, "one", newer)
        return await found(listening, 42, "one") == newer

    newer = Entry("4-5-6", ENTRY.stored_at + 1, "", b"newer")
    await until(in_use, what="entries are kept again")


async def test_news_of_the_end_of_a_lease_makes_a_follower_ask_again(listening: RedisCache, client: Redis) -> None:
    subscriber = Subscriber(listening)
    await until(lambda: subscriber.states == [True])
    led, follows = [await listening.acquire(42, "one", "v") for _ in range(2)]
    assert isinstance(led, FenceToken)
    assert isinstance(follows, FenceToken)
    assert led.lease
    assert follows.held
    await publish(client, listening, f"arrived {led.lease.name}")
    await asyncio.wait_for(follows.held.ended.wait(), 60)
    again = await listening.acquire(42, "one", "v")
    assert isinstance(again, FenceToken)
    assert again.held  # the lease is the leader's still
