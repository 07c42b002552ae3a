"""A server that has lost writes: what the lost purges dropped is never found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.caches.generation import Generation
from service.caches.redis import RedisCache
from service.pictures.ports import CacheUnavailable
from service.pictures.values import Entry
from tests.caches.conftest import ENTRY, Subscriber, found, keep, redis_cache
from tests.conftest import Valkey, running_valkey
from tests.operations.running import free_port
from tests.waiting import until

NEW = replace(ENTRY, version="4-5-6", body=b"new")
LARGE = replace(ENTRY, body=bytes(300_000))
Join = Callable[[], RedisCache]


@pytest.fixture
async def join(own_valkey: Valkey) -> AsyncIterator[Join]:
    """Return a function that makes caches, each as another process would, on `own_valkey`."""
    made: list[RedisCache] = []

    def join(url: str = own_valkey.url) -> RedisCache:
        made.append(redis_cache(url, prefix="generation", timeout=5.0))
        return made[-1]

    yield join
    for each in made:
        await each.close()


async def joined(*caches: RedisCache) -> list[Subscriber]:
    """Return the subscribers of *caches* when all are up."""
    subscribers = [Subscriber(each) for each in caches]
    await until(lambda: all(True in each.states for each in subscribers))
    return subscribers


async def command(server: Valkey, *words: str | int) -> Any:
    async with Redis.from_url(server.url) as client:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


async def put(cache: RedisCache, entry: Entry) -> None:
    await keep(cache, 42, "one", entry)
    await keep(cache, 42, "large", replace(LARGE, version=entry.version))


async def restore(server: Valkey) -> None:
    """Kill *server* and start it with what it has saved."""
    server.stop()
    server.start()


async def never_found(cache: RedisCache, entry: Entry, *, writable: bool = True) -> None:
    """Check that no lookup finds *entry*, from the first one that is answered."""
    answered = 0
    while answered < 50:
        try:
            one, large = await cache.get(42, ("one", "large"))
            taken = await cache.acquire(42, "one", entry.version) if writable else None
        except CacheUnavailable:
            await asyncio.sleep(0.005)  # the server is starting
            continue
        assert one is None or one.version != entry.version
        assert large is None or large.version != entry.version
        assert not isinstance(taken, Entry)
        answered += 1


async def in_use(*caches: RedisCache) -> None:
    """Wait until an entry of each cache is found by all of them."""
    for at, cache in enumerate(caches):
        made = replace(NEW, detail=str(at))

        async def shared(cache: RedisCache = cache, entry: Entry = made) -> bool:
            try:
                await keep(cache, 42, "one", entry)
                return [await found(each, 42, "one") for each in caches] == [entry] * len(caches)
            except CacheUnavailable:
                return False

        await until(shared)


@pytest.mark.parametrize("heard", [False, True], ids=["acknowledged", "heard"])
async def test_process_that_knows_a_purge_finds_nothing_of_an_older_dump(
    own_valkey: Valkey, join: Join, heard: bool
) -> None:
    purging, other = join(), join()
    subscribers = await joined(purging, other)
    await put(purging, ENTRY)
    await command(own_valkey, "SAVE")
    await purging.purge(42)
    await until(lambda: subscribers[1].purged == [42])
    if heard:
        await purging.close()
    with capture_logs() as lines:
        await restore(own_valkey)
        await never_found(other if heard else purging, ENTRY)
        await never_found(join(), ENTRY)  # it has not known the purge
    lost = [each["known"] - each["generation"] for each in lines if each["event"] == "cache.lost_writes"]
    assert lost in ([1], [1, 1])
    await in_use(other, join())


async def test_all_processes_that_know_a_purge_change_the_epoch_once(own_valkey: Valkey, join: Join) -> None:
    caches = [join() for _ in range(10)]
    subscribers = await joined(*caches)
    await put(caches[0], ENTRY)
    await command(own_valkey, "SAVE")
    for contact in range(38, 43):
        await caches[0].purge(contact)
    await until(lambda: all({*range(38, 43)} <= {*each.purged} for each in subscribers[1:]))
    known = int(await command(own_valkey, "HGET", "generation:generation", "generation"))
    await restore(own_valkey)
    await asyncio.gather(*(never_found(each, ENTRY) for each in caches))
    await in_use(*caches)
    assert int(await command(own_valkey, "HGET", "generation:generation", "generation")) == known + 1


async def test_older_dump_that_is_restored_twice_is_void_twice(own_valkey: Valkey, join: Join) -> None:
    cache = join()
    await joined(cache)
    await put(cache, ENTRY)
    await command(own_valkey, "SAVE")
    await cache.purge(42)
    for _ in range(2):
        await restore(own_valkey)
        await never_found(cache, ENTRY)
        await in_use(cache, join())


async def test_server_that_loses_writes_and_keeps_its_connections_is_noticed(own_valkey: Valkey, join: Join) -> None:
    own_valkey.stop()
    own_valkey.start(**{"enable-debug-command": "yes"})
    cache = join()
    (subscriber,) = await joined(cache)
    await put(cache, ENTRY)
    await command(own_valkey, "SAVE")
    await cache.purge(42)
    await command(own_valkey, "DEBUG", "RELOAD", "NOSAVE")
    await until(lambda: None in subscriber.purged, 10)  # once a second; memory may have what was found before
    await never_found(cache, ENTRY)
    assert subscriber.states == [True]


async def test_dump_of_an_older_release_is_void(own_valkey: Valkey, join: Join) -> None:
    """It has no generation."""
    cache = join()
    await joined(cache)
    await put(cache, ENTRY)
    await cache.purge(42)
    await put(cache, ENTRY)
    await command(own_valkey, "DEL", "generation:generation")
    await command(own_valkey, "SAVE")
    await restore(own_valkey)
    await never_found(cache, ENTRY)
    await in_use(cache, join())


async def test_restart_that_loses_nothing_keeps_all_entries(own_valkey: Valkey, join: Join) -> None:
    purging, other = join(), join()
    await joined(purging, other)
    await purging.purge(42)
    await put(purging, ENTRY)
    await command(own_valkey, "SAVE")
    await restore(own_valkey)
    for each in (purging, other, join()):

        async def answered(cache: RedisCache = each) -> bool:
            try:
                return await found(cache, 42, "one") == ENTRY and await found(cache, 42, "large") == LARGE
            except CacheUnavailable:
                return False

        await until(answered)


async def test_emptied_server_is_a_new_one(own_valkey: Valkey, join: Join) -> None:
    cache, other = join(), join()
    subscribers = await joined(cache, other)
    await put(cache, ENTRY)
    await cache.purge(42)
    await until(lambda: subscribers[1].purged == [42])
    with capture_logs() as lines:
        await command(own_valkey, "FLUSHALL")
        await put(cache, NEW)

        async def has_a_generation() -> bool:
            return await command(own_valkey, "EXISTS", "generation:generation") == 1

        await until(has_a_generation)
        await asyncio.sleep(2.5)  # both have checked it
    assert await found(other, 42, "one") == NEW
    assert [each.purged for each in subscribers] == [[], [42]]
    assert not lines


async def test_put_with_a_fence_from_before_the_loss_is_not_found(own_valkey: Valkey, join: Join) -> None:
    """The fence, too, is restored."""
    cache = join()
    await joined(cache)
    token = await cache.fence(42)
    await command(own_valkey, "SAVE")
    await cache.purge(42)
    await restore(own_valkey)
    await never_found(cache, ENTRY)
    await cache.put(42, "one", ENTRY, token, life=60)
    assert await found(cache, 42, "one") is None
    await in_use(cache, join())


async def test_foreign_value_at_the_key_of_the_generation_is_replaced(own_valkey: Valkey, join: Join) -> None:
    await command(own_valkey, "SET", "generation:generation", "foreign")
    cache = join()
    await cache.purge(42)
    await put(cache, ENTRY)
    await command(own_valkey, "SET", "generation:generation", "foreign")
    assert await found(cache, 42, "one") == ENTRY
    await cache.purge(42)
    assert await found(cache, 42, "one") is None
    assert await command(own_valkey, "TYPE", "generation:generation") == b"hash"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("generation", "9223372036854775808"),
        ("generation", "999999999999999"),
        ("generation", "999999999999"),
        ("generation", "nan"),
        ("generation", "-5"),
        ("generation", "5.5"),
        ("epoch", "no epoch"),
        ("epoch", "a" * 1_000_000),
    ],
    ids=lambda value: value[:20],
)
async def test_purges_and_puts_go_on_after_a_stranger_has_changed_the_generation(
    own_valkey: Valkey, join: Join, field: str, value: str
) -> None:
    caches = join(), join()
    await joined(*caches)
    await caches[0].purge(42)
    await command(own_valkey, "HSET", "generation:generation", field, value)
    await in_use(*caches)
    for each in caches:
        await put(each, ENTRY)
        await until(partial(_purges, each))
        assert await found(each, 42, "one") is None
    await in_use(*caches, join())


@pytest.mark.parametrize("number", [999_999_999_999_999, 999_999_999_999, 499_999_999_999, 6])
async def test_purges_and_puts_go_on_after_a_stranger_has_published_a_generation(
    own_valkey: Valkey, join: Join, number: int
) -> None:
    caches = join(), join()
    await joined(*caches)
    for _ in range(5):
        await caches[0].purge(42)
    await command(own_valkey, "PUBLISH", "generation:news", f"purged stranger:{number}:abcdef *")
    await asyncio.sleep(1.2)  # until each process has checked the server
    for each in caches:
        await until(partial(_purges, each))
    await in_use(*caches, join())


async def _purges(cache: RedisCache) -> bool:
    try:
        await cache.purge(42)
    except CacheUnavailable:
        return False
    return True


async def test_failover_to_a_lagging_replica_costs_misses(own_valkey: Valkey, tmp_path: Path, join: Join) -> None:
    own_valkey.stop()
    own_valkey.start(port=str(port := free_port()))
    with running_valkey() as replica:
        async with switch(own_valkey, tmp_path / "switch.sock") as (url, use):
            caches = [join(url), join(url)]
            subscribers = await joined(*caches)
            fresh = join(url)
            await put(caches[0], ENTRY)
            await command(replica, "REPLICAOF", "127.0.0.1", port)

            async def has_a_copy() -> bool:
                return await command(replica, "HLEN", "generation:{42}") == 3

            await until(has_a_copy)
            await command(replica, "REPLICAOF", "127.0.0.1", free_port())  # it has lost its primary, and is read-only
            await caches[0].purge(42)
            await until(lambda: subscribers[1].purged == [42])
            use(replica)
            for each in caches:
                await never_found(each, ENTRY, writable=False)
            await command(replica, "REPLICAOF", "NO", "ONE")
            await joined(fresh)  # it does not know the purge
            caches.append(fresh)
            await in_use(*caches)
            for each in caches:
                await never_found(each, ENTRY)
            for each in caches:
                await each.close()


async def test_late_news_is_no_sign_of_a_loss() -> None:
    asked: list[object] = []

    def ask(*words: object) -> asyncio.Future[Any]:
        asked.append(words)
        return asyncio.get_running_loop().create_future()

    generation = Generation("key", "channel", "sender")
    generation.ask = ask
    generation.heard("8:")
    _, learn = generation.greeting()
    generation.heard("10:")
    learn([b"9", b""])
    generation.heard("7:ab")
    assert (generation.number, generation.epoch, asked) == (10, "", [])


@asynccontextmanager
async def switch(first: Valkey, socket: Path) -> AsyncIterator[tuple[str, Callable[[Valkey], None]]]:
    """Open a socket that forwards to *first*. Yield its address, and a function that switches to another server."""
    server, writers = first, set[asyncio.StreamWriter]()

    def use(other: Valkey) -> None:
        nonlocal server
        server = other
        for each in writers:
            each.transport.abort()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)
        sink.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(server.socket))
        writers.update((writer, inner_writer))
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer), return_exceptions=True)
        writers.difference_update((writer, inner_writer))

    listener = await asyncio.start_unix_server(forward, str(socket))
    yield f"unix://{socket}", use
    listener.close()
