"""The cache of the fleet: what its theory of operation guarantees, on a stub of the shared cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from service.pictures.caching.picture_cache import PictureCache, PutToken
from service.pictures.ports import CacheUnavailable
from service.pictures.trace import Trace
from service.pictures.values import Entry
from service.web.metrics import Metrics
from tests.caches.stub import StubCache, StubServer
from tests.waiting import until

OLD, NEW = Entry("old", 1.0, "", b"old"), Entry("new", 2.0, "", b"new")
Start = Callable[..., Awaitable[PictureCache]]
Make = Callable[[PutToken], Awaitable[Entry]]


@pytest.fixture
def server() -> StubServer:
    return StubServer()


@pytest.fixture
async def start(server: StubServer) -> AsyncIterator[Start]:
    """Return a function that starts the cache of one process of the fleet."""
    started = []

    async def start(*, max_wait: float = 60.0, lease: float = 60.0) -> PictureCache:
        options = {"memory_bytes": 1_000_000, "max_body": 100_000}
        cache = PictureCache(StubCache(server, lease=lease), Metrics(), max_wait=max_wait, **options)
        started.append(cache)
        await cache.start()
        return cache

    yield start
    server.error = None
    for each in started:
        await each.close()


async def put(cache: PictureCache, entry: Entry, token: PutToken | None = None) -> None:
    await cache.put(1, "one", entry, token or await cache.fence(1, Trace()), life=60.0)
    await cache.settle()


async def found(cache: PictureCache) -> Entry | None:
    return await cache.get(1, "one", Trace())


def making(entry: Entry, until_set: asyncio.Event) -> Make:
    """Return a function for `make_once` that waits for the event, then returns *entry*."""

    async def make(_: PutToken) -> Entry:
        await until_set.wait()
        return entry

    return make


async def test_entry_of_one_process_is_found_in_another(start: Start) -> None:
    one, other = await start(), await start()
    await put(one, OLD)
    assert await found(other) == OLD
    assert other.local(1, "one") == OLD


async def test_older_entry_of_the_shared_cache_does_not_replace_a_newer_one_in_memory(start: Start) -> None:
    cache = await start()
    await put(cache, OLD)
    await cache.put(1, "one", NEW, await cache.fence(1, Trace()), life=60.0)  # the shared cache has the older one still
    assert await cache.shared(1, ("one",), Trace()) == [NEW]
    assert cache.local(1, "one") == NEW


async def test_newer_entry_of_the_shared_cache_replaces_the_one_in_memory(start: Start, server: StubServer) -> None:
    one, other = await start(), await start()
    await put(one, OLD)
    await put(other, NEW)
    assert await one.shared(1, ("one",), Trace()) == [NEW]
    assert one.local(1, "one") == NEW


@pytest.mark.parametrize("contact", [1, None])
async def test_purge_empties_both_layers_and_refuses_older_tokens(start: Start, contact: int | None) -> None:
    one, other = await start(), await start()
    await put(one, OLD)
    await found(other)
    token = await one.fence(1, Trace())
    assert await other.purge(contact)
    assert [one.local(1, "one"), other.local(1, "one")] == [None, None]
    await put(one, OLD, token)
    assert [await found(one), await found(other)] == [None, None]


async def test_pending_purge_hides_the_shared_cache_until_it_is_acknowledged(start: Start, server: StubServer) -> None:
    one, other = await start(), await start()
    await put(one, OLD)
    await found(other)
    server.error = CacheUnavailable("frozen")
    assert not await one.purge(1)
    server.error = None
    assert await found(one) is None
    assert other.local(1, "one") == OLD
    await until(lambda: other.local(1, "one") is None)
    await put(one, NEW)
    assert [await found(one), await found(other)] == [NEW, NEW]


async def test_memory_starts_empty_after_a_lost_subscription(start: Start, server: StubServer) -> None:
    cache = await start()
    await put(cache, OLD)
    server.caches[0].set_subscribed(False)
    assert not cache.subscribed
    assert cache.local(1, "one") == OLD
    server.caches[0].set_subscribed(True)
    assert cache.subscribed
    assert cache.local(1, "one") is None


async def test_followers_get_the_entry_of_the_leader(start: Start) -> None:
    one, other = await start(), await start()
    made = asyncio.Event()
    leading = asyncio.create_task(one.make_once(1, "one", "new", making(NEW, made), Trace(), life=60.0))
    await asyncio.sleep(0)
    following = asyncio.create_task(other.make_once(1, "one", "new", making(OLD, made), Trace(), life=60.0))
    await asyncio.sleep(0.01)
    made.set()
    assert await leading == (NEW, True, True, False)
    assert await following == (NEW, True, False, True)


async def test_follower_leads_when_the_leader_fails(start: Start) -> None:
    one, other = await start(), await start()
    waited = []

    async def fail(_: PutToken) -> Entry:
        await asyncio.sleep(0.01)
        raise ValueError

    async def make(token: PutToken) -> Entry:
        waited.append(token.waited)
        return NEW

    leading = asyncio.create_task(one.make_once(1, "one", "new", fail, Trace(), life=60.0))
    await asyncio.sleep(0)
    assert await other.make_once(1, "one", "new", make, Trace(), life=60.0) == (NEW, True, True, False)
    assert waited == [True]
    with pytest.raises(ValueError):
        await leading


async def test_follower_makes_the_entry_itself_when_it_has_waited_for_max_wait(start: Start) -> None:
    one, other = await start(), await start(max_wait=0.05)
    never, at_once = asyncio.Event(), asyncio.Event()
    at_once.set()
    leading = asyncio.create_task(one.make_once(1, "one", "new", making(NEW, never), Trace(), life=60.0))
    await asyncio.sleep(0)
    assert (await other.make_once(1, "one", "new", making(NEW, at_once), Trace(), life=60.0)).stored
    never.set()
    await leading


async def test_without_a_shared_cache_every_process_makes_its_own(server: StubServer) -> None:
    cache = PictureCache(None, Metrics(), memory_bytes=1_000_000, max_body=100_000, max_wait=60.0)
    await cache.start()
    made = asyncio.Event()
    made.set()
    assert await cache.make_once(1, "one", "new", making(NEW, made), Trace(), life=60.0) == (NEW, True, True, False)
    assert (cache.subscribed, await cache.check(), await found(cache)) == (True, "memory alone", NEW)
    assert await cache.purge(1)
    assert await found(cache) is None
    await cache.close()
