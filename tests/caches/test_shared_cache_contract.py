"""The contract of `SharedCache`, run over every adapter."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from service.pictures.ports import FenceToken, SharedCache
from service.pictures.values import ABSENCE, PLACEHOLDERS, RECORD, EntryHead, MezzanineOwner
from tests.caches.conftest import ENTRY, Connect, Subscriber, found, keep
from tests.waiting import until


@pytest.fixture
async def other(connect: Connect) -> tuple[SharedCache, Subscriber]:
    """The cache of another process, which is subscribed."""
    cache = connect()
    subscriber = Subscriber(cache)
    await until(lambda: subscriber.states == [True])
    return cache, subscriber


async def test_get_returns_the_entry_that_was_put(cache: SharedCache) -> None:
    await keep(cache, 42, "319:0:contain:JPEG:d")
    assert await found(cache, 42, "319:0:contain:JPEG:d") == ENTRY


async def test_get_misses_entries_that_were_never_put(cache: SharedCache) -> None:
    await keep(cache, 42, "one")
    assert await cache.get(42, ("other", "one")) == [None, ENTRY]
    assert await found(cache, 43, "one") is None
    assert await cache.head(43, "one") is None


async def test_head_returns_the_length_of_the_body(cache: SharedCache) -> None:
    await keep(cache, 42, "one", replace(ENTRY, body=bytes(100_000)))
    assert await cache.head(42, "one") == EntryHead("1-2-3", "first-frame", 100_000)


async def test_later_put_replaces_an_earlier_one(cache: SharedCache) -> None:
    await keep(cache, 42, "one")
    await keep(cache, 42, "one", replace(ENTRY, version="4-5-6", body=b"new"))
    assert await found(cache, 42, "one") == replace(ENTRY, version="4-5-6", body=b"new")


async def test_owners_have_separate_entries(cache: SharedCache) -> None:
    for owner in (PLACEHOLDERS, 1, MezzanineOwner(1)):
        await keep(cache, owner, "one", replace(ENTRY, detail=str(owner)))
    for owner in (PLACEHOLDERS, 1, MezzanineOwner(1)):
        assert await found(cache, owner, "one") == replace(ENTRY, detail=str(owner))
    assert await found(cache, 0, "one") is None


async def test_concurrent_lookups_return_their_own_entries(cache: SharedCache) -> None:
    for contact in range(300):
        await keep(cache, contact, "one", replace(ENTRY, body=b"%d" % contact))
    entries = await asyncio.gather(*(cache.get(contact, ("none", "one")) for contact in range(300)))
    assert entries == [[None, replace(ENTRY, body=b"%d" % contact)] for contact in range(300)]


async def test_sole_put_replaces_all_entries_of_the_owner(cache: SharedCache) -> None:
    await keep(cache, 42, "one")
    assert await cache.put(42, RECORD, ENTRY, await cache.fence(42), life=5, sole=True)
    assert await cache.get(42, ("one", RECORD)) == [None, ENTRY]


async def test_absence_is_put_beside_the_record_of_a_picture_until_the_next_record(cache: SharedCache) -> None:
    missing = replace(ENTRY, version="", body=b"null")
    for field in (RECORD, "one"):
        await keep(cache, 42, field)
    assert await cache.put(42, RECORD, missing, await cache.fence(42), life=5, sole=True)
    assert await cache.get(42, ("one", RECORD, ABSENCE)) == [ENTRY, ENTRY, missing]
    await keep(cache, 42, "two")
    assert await cache.get(42, (RECORD, ABSENCE)) == [ENTRY, missing]
    await keep(cache, 42, RECORD)
    assert await cache.get(42, ("one", RECORD, ABSENCE)) == [ENTRY, ENTRY, None]


async def test_absence_is_the_record_where_no_picture_is_known(cache: SharedCache) -> None:
    missing = replace(ENTRY, version="", body=b"null")
    await keep(cache, 42, "one")
    for at in range(2):
        newer = replace(missing, stored_at=missing.stored_at + at)
        assert await cache.put(42, RECORD, newer, await cache.fence(42), life=5, sole=True)
        assert await cache.get(42, ("one", RECORD, ABSENCE)) == [None, newer, None]


async def test_noted_stores_are_returned_to_every_process(connect: Connect) -> None:
    one, other = connect(), connect()
    assert await one.stores(None) == []
    assert await one.stores("one") == ["one"]
    assert {*await other.stores("two")} == {*await one.stores(None)} == {"one", "two"}
    await one.purge(None)
    assert {*await one.stores(None)} == {"one", "two"}


async def test_purge_drops_the_absence_too(cache: SharedCache) -> None:
    await keep(cache, 42, RECORD)
    await cache.put(42, RECORD, replace(ENTRY, version=""), await cache.fence(42), life=5, sole=True)
    await cache.purge(42)
    assert await cache.get(42, (RECORD, ABSENCE)) == [None, None]


async def test_purge_drops_all_entries_of_the_contact_and_reaches_the_other_processes(
    connect: Connect, other: tuple[SharedCache, Subscriber]
) -> None:
    cache = connect()
    own = Subscriber(cache)
    await until(lambda: own.states)
    for owner in (42, MezzanineOwner(42), 43):
        await keep(cache, owner, "one")
    await cache.purge(42)
    assert [await found(cache, owner, "one") for owner in (42, MezzanineOwner(42), 43)] == [None, None, ENTRY]
    await until(lambda: other[1].purged == [42])
    await other[0].purge(7)  # when this one is received, the own purge would have been received too
    await until(lambda: 7 in own.purged)
    assert own.purged == [7]


async def test_purge_of_a_contact_without_entries_reaches_the_other_processes(
    cache: SharedCache, other: tuple[SharedCache, Subscriber]
) -> None:
    await cache.purge(404)
    await until(lambda: other[1].purged == [404])


async def test_purge_of_everything_reaches_every_process(
    connect: Connect, other: tuple[SharedCache, Subscriber]
) -> None:
    cache = connect()
    own = Subscriber(cache)
    await until(lambda: own.states)
    for contact in (1, 2):
        await keep(cache, contact, "one")
    await cache.purge(None)
    assert [await found(cache, contact, "one") for contact in (1, 2)] == [None, None]
    await until(lambda: other[1].purged == [None] == own.purged)


async def test_announcement_reaches_the_other_processes_and_drops_nothing(
    cache: SharedCache, other: tuple[SharedCache, Subscriber]
) -> None:
    await keep(cache, 42, "one")
    await cache.announce(42)
    await until(lambda: other[1].purged == [42])
    assert await found(cache, 42, "one") == ENTRY


@pytest.mark.parametrize("purged", [42, None])
async def test_put_with_a_fence_from_before_a_purge_is_refused(cache: SharedCache, purged: int | None) -> None:
    old = await cache.fence(42)
    await cache.purge(purged)
    assert not await cache.put(42, "one", ENTRY, old, life=60)
    assert await found(cache, 42, "one") is None
    assert await keep(cache, 42, "one")


async def test_all_fences_between_two_purges_allow_a_put(cache: SharedCache) -> None:
    tokens = [await cache.fence(42), await cache.fence(MezzanineOwner(42)), await cache.fence(42)]
    owners = [42, MezzanineOwner(42), 42]
    assert [await cache.put(o, f"{n}", ENTRY, t, life=60) for n, (o, t) in enumerate(zip(owners, tokens, strict=True))]


async def test_one_request_gets_the_lease_and_the_others_learn_how_long_it_lasts(cache: SharedCache) -> None:
    answers = await asyncio.gather(*(cache.acquire(42, "one", "1-2-3") for _ in range(20)))
    tokens = [each for each in answers if isinstance(each, FenceToken)]
    assert len(tokens) == 20
    assert len([each for each in tokens if each.lease]) == 1
    assert all(each.held and 0 < each.held.seconds <= 2.0 for each in tokens if not each.lease)


async def test_acquire_returns_an_entry_of_the_version_that_was_put_in_between(cache: SharedCache) -> None:
    await keep(cache, 42, "one")
    assert await cache.acquire(42, "one", ENTRY.version) == ENTRY
    assert isinstance(await cache.acquire(42, "two", "1-2"), FenceToken)
    await keep(cache, 42, "two", replace(ENTRY, version="1-2-34"))
    assert isinstance(await cache.acquire(42, "two", "1-2-3"), FenceToken)
    newer = await cache.acquire(42, "one", "4-5-6")
    assert isinstance(newer, FenceToken)
    assert newer.lease


@pytest.mark.parametrize("by", ["release", "put"])
async def test_end_of_a_lease_wakes_the_process_that_waits_for_it(
    cache: SharedCache, other: tuple[SharedCache, Subscriber], by: str
) -> None:
    leader = await cache.acquire(42, "one", "v")
    follower = await other[0].acquire(42, "one", "v")
    assert isinstance(leader, FenceToken)
    assert isinstance(follower, FenceToken)
    assert leader.lease
    assert follower.held
    assert not follower.held.ended.is_set()
    if by == "put":
        await cache.put(42, "one", ENTRY, leader, life=60)
    else:
        await cache.release(leader.lease)
    await until(follower.held.ended.is_set)


async def test_released_lease_is_free_and_its_token_releases_no_later_one(cache: SharedCache) -> None:
    first = await cache.acquire(42, "one", "v")
    assert isinstance(first, FenceToken)
    assert first.lease
    await cache.release(first.lease)
    second = await cache.acquire(42, "one", "v")
    assert isinstance(second, FenceToken)
    assert second.lease
    await cache.release(first.lease)
    assert isinstance(third := await cache.acquire(42, "one", "v"), FenceToken)
    assert third.lease is None


async def test_lease_lasts_as_long_as_it_is_renewed(connect: Connect) -> None:
    cache = connect(lease=1.2)
    token = await cache.acquire(42, "one", "v")
    assert isinstance(token, FenceToken)
    assert token.lease
    for _ in range(5):
        await asyncio.sleep(0.3)
        assert await cache.renew(token.lease)
    await asyncio.sleep(1.3)
    assert not await cache.renew(token.lease)
    assert isinstance(other := await cache.acquire(42, "one", "v"), FenceToken)
    assert other.lease
