"""What processes tell each other by way of the server: purges, arrivals, leads and fences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from service.caches.redis import RedisCache
from service.pictures.ports import Grant
from service.pictures.values import RECORD, MezzanineOwner
from tests.caches.conftest import ENTRY, got, keep, redis_cache
from tests.conftest import Valkey


class Ear:
    """A `Listener` that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.up: list[bool] = []

    def purged(self, contact: int | None) -> None:
        self.heard.append(contact)

    def arrived(self, name: str) -> None:
        self.heard.append(name)

    def listening(self, up: bool) -> None:
        self.up.append(up)


async def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)  # another process decides when


@pytest.fixture
async def others(shared_valkey: Valkey, cache: RedisCache) -> AsyncIterator[tuple[RedisCache, Ear]]:
    """Another process's cache, and what it hears."""
    other, ear = redis_cache(shared_valkey.url, prefix=cache.key(0).partition(":")[0]), Ear()
    other.listen(ear)
    await until(lambda: ear.up == [True])
    yield other, ear
    await other.close()


async def test_a_purge_drops_all_of_the_contact_and_is_told_to_all_others(
    cache: RedisCache, client: Redis, others: tuple[RedisCache, Ear]
) -> None:
    mine = Ear()
    cache.listen(mine)
    await until(lambda: mine.up)
    for owner in (42, MezzanineOwner(42), 43):
        await keep(cache, owner, "one")
    await cache.purge(42)
    assert [await got(cache, owner, "one") for owner in (42, MezzanineOwner(42), 43)] == [None, None, ENTRY]
    assert not [key async for key in client.scan_iter(cache.key(42) + "*")]
    await until(lambda: others[1].heard == [42])
    await others[0].purge(7)  # when this is heard, one's own would have been
    await until(lambda: 7 in mine.heard)
    assert mine.heard == [7]


async def test_a_purge_of_what_the_server_does_not_hold_is_told_too(
    cache: RedisCache, others: tuple[RedisCache, Ear]
) -> None:
    await cache.purge(404)
    await until(lambda: others[1].heard == [404])


async def test_a_purge_of_everything_drops_it_and_is_told_even_to_the_sender(
    shared_valkey: Valkey, cache: RedisCache, client: Redis, others: tuple[RedisCache, Ear]
) -> None:
    for contact in range(1_200):
        await keep(cache, contact, "one")
    await client.set("somebody-else", 1)
    longer = redis_cache(shared_valkey.url, prefix=cache.key(0).partition(":")[0] + ":more")
    await keep(longer, 1, "one")
    await cache.purge_all()
    assert await got(longer, 1, "one") == ENTRY
    await longer.close()
    assert [await got(cache, contact, "one") for contact in range(1_200)] == [None] * 1_200
    assert await client.get("somebody-else") == b"1"
    await until(lambda: others[1].heard == [None])


async def test_nothing_is_put_that_was_begun_before_a_purge(cache: RedisCache) -> None:
    old = await cache.fence(42)
    await cache.purge(42)
    assert not await cache.put(42, "one", ENTRY, old, life=60)
    assert await got(cache, 42, "one") is None
    assert await keep(cache, 42, "one")


async def test_nothing_is_put_that_was_begun_before_everything_was_purged(cache: RedisCache) -> None:
    old = await cache.fence(42)
    await cache.purge_all()
    assert not await cache.put(42, "one", ENTRY, old, life=60)


async def test_all_who_begin_between_two_purges_may_put(cache: RedisCache) -> None:
    grants = [await cache.fence(42), await cache.fence(MezzanineOwner(42)), await cache.fence(42)]
    owners = [42, MezzanineOwner(42), 42]
    assert [await cache.put(o, f"{n}", ENTRY, g, life=60) for n, (o, g) in enumerate(zip(owners, grants, strict=True))]


async def test_a_record_can_stand_alone(cache: RedisCache, client: Redis) -> None:
    """As that of a picture that is no more."""
    await keep(cache, 42, "one", life=1000)
    assert await cache.put(42, RECORD, ENTRY, await cache.fence(42), life=5, alone=True)
    assert await client.hkeys(cache.key(42)) == [RECORD.encode()]
    assert await client.ttl(cache.key(42)) <= 5


async def test_one_leads_and_the_others_are_told_for_how_long(cache: RedisCache) -> None:
    grants = await asyncio.gather(*(cache.lead(42, "one", "1-2-3") for _ in range(20)))
    assert all(isinstance(grant, Grant) for grant in grants)
    leading = [grant for grant in grants if isinstance(grant, Grant) and grant.lock]
    assert len(leading) == 1
    assert all(0 < each.others <= 2.0 for each in grants if isinstance(each, Grant) and each not in leading)


async def test_whoever_asks_to_lead_is_given_what_has_come_meanwhile(cache: RedisCache) -> None:
    await keep(cache, 42, "one")
    assert await cache.lead(42, "one", ENTRY.version) == ENTRY
    assert isinstance(await cache.lead(42, "two", "1-2"), Grant)
    await keep(cache, 42, "two", replace(ENTRY, version="1-2-34"))
    assert isinstance(await cache.lead(42, "two", "1-2-3"), Grant)
    newer = await cache.lead(42, "one", "4-5-6")
    assert isinstance(newer, Grant)
    assert newer.lock


async def test_a_damaged_value_is_no_reason_not_to_lead(cache: RedisCache, client: Redis) -> None:
    await keep(cache, 42, "one")
    value = await client.hget(cache.key(42), "one")
    await client.hset(cache.key(42), "one", value[:-1] + b"?")
    grant = await cache.lead(42, "one", ENTRY.version)
    assert isinstance(grant, Grant)
    assert grant.lock


async def test_the_end_of_a_lead_is_told_by_its_name(cache: RedisCache, others: tuple[RedisCache, Ear]) -> None:
    grant = await cache.lead(42, "one", "v")
    assert isinstance(grant, Grant)
    await cache.release(grant)
    await until(lambda: others[1].heard == [others[0].arrival(42, "one")])
    again = await cache.lead(42, "one", "v")
    assert isinstance(again, Grant)
    assert again.lock
    await cache.release(grant)  # the former lead's: another has it now
    assert isinstance(third := await cache.lead(42, "one", "v"), Grant)
    assert third.lock is None


async def test_a_lead_lasts_as_long_as_it_is_renewed(shared_valkey: Valkey) -> None:
    cache = redis_cache(shared_valkey.url, lease=1.2)
    grant = await cache.lead(42, "one", "v")
    assert isinstance(grant, Grant)
    for _ in range(5):
        await asyncio.sleep(0.3)
        assert await cache.renew(grant)
    await asyncio.sleep(1.3)
    assert not await cache.renew(grant)
    assert isinstance(other := await cache.lead(42, "one", "v"), Grant)
    assert other.lock
    await cache.close()


async def test_whoever_listens_knows_when_nothing_is_heard(own_valkey: Valkey) -> None:
    cache, ear = redis_cache(own_valkey.url), Ear()
    cache.listen(ear)
    await until(lambda: ear.up == [True])
    own_valkey.stop()
    await until(lambda: ear.up[-1] is False)
    own_valkey.start()
    await until(lambda: ear.up[-1] is True)
    assert own_valkey.process is not None
    own_valkey.process.send_signal(19)
    try:
        await until(lambda: ear.up[-1] is False)
    finally:
        own_valkey.process.send_signal(18)
    await until(lambda: ear.up[-1] is True)
    await cache.close()


async def test_a_full_server_still_purges_and_tells(own_valkey: Valkey) -> None:
    cache, ear = redis_cache(own_valkey.url), Ear()
    cache.listen(ear)
    await until(lambda: ear.up)
    for contact in range(20):
        await keep(cache, contact, "one", replace(ENTRY, body=bytes(10_000)))
    async with Redis.from_url(own_valkey.url) as client:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", 1)
    other = redis_cache(own_valkey.url, prefix=cache.key(0).partition(":")[0])
    await other.purge(7)
    assert await got(cache, 7, "one") is None
    await until(lambda: ear.heard == [7])
    await other.purge_all()
    assert await got(cache, 8, "one") is None
    await until(lambda: ear.heard == [7, None])
    for each in (cache, other):
        await each.close()
