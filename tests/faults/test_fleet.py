"""Two processes and one server: one render serves them both, and what one changes is new in the other at once."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.app import CACHE, COHERENCE, LEASE
from service.pictures.values import RECORD
from tests.conftest import Serve, Valkey
from tests.faults.conftest import RENDERS, Client, settled, undisturbed, until
from tests.pictures_in_code import quarters, saved, shown
from tests.web.conftest import IMAGE, Get
from tests.web.test_coalescing import frozen_worker, metric, until_metric

pytestmark = pytest.mark.usefixtures("people")

Pair = tuple[Client, Client]
_prefixes, _widths = itertools.count(), itertools.count(100)


async def hearing(*clients: Client) -> None:
    """Return when they hear of each other."""

    async def all_of_them() -> bool:
        return all(client.server.app[COHERENCE].heard for client in clients)  # type: ignore[attr-defined]

    await until(all_of_them, 10, "they hear of each other")


@pytest.fixture
def serve_two(serve: Serve) -> Callable[..., Awaitable[Pair]]:
    async def start(**sections: Any) -> Pair:
        shared = {"prefix": f"fleet-{next(_prefixes)}"} | sections.pop("cache", {})
        one, other = [await serve(cache=shared, writes={"enabled": True}, **sections) for _ in range(2)]
        await hearing(one, other)
        return one, other

    return start


@pytest.fixture
async def pair(serve_two: Callable[..., Awaitable[Pair]]) -> Pair:
    return await serve_two()


async def command(redis: Redis, *words: str) -> None:
    await redis.execute_command(*words)  # type: ignore[no-untyped-call]


async def renders(*clients: Client) -> float:
    return sum([await metric(client, RENDERS) for client in clients])


async def test_identical_misses_in_two_processes_are_one_render(pair: Pair, get: Get) -> None:
    async def trial() -> None:
        query, before = f"?w={next(_widths)}", await renders(*pair)
        asked = await asyncio.gather(*(get(pair[at % 2], 1, query) for at in range(1_000)))
        assert {response.status for response in asked} == {200}
        assert len({await response.read() for response in asked}) == 1
        assert len({response.headers["ETag"] for response in asked}) == 1
        assert await renders(*pair) - before == 1

    await undisturbed(trial, *pair)


async def test_what_one_has_rendered_is_a_hit_in_the_other(pair: Pair, get: Get) -> None:
    async def trial() -> None:
        query, before = f"?w={next(_widths)}", await renders(*pair)
        first = await get(pair[0], 1, query)
        await settled(pair[0])
        second = await get(pair[1], 1, query)
        assert await second.read() == await first.read()
        assert "; hit" in second.headers["Cache-Status"]
        assert await renders(*pair) - before == 1

    await undisturbed(trial, *pair)


async def test_whoever_waits_is_woken_by_the_arrival(pair: Pair, get: Get) -> None:
    """Much sooner than the lead would end."""

    async def trial() -> float:
        query, before = f"?w={next(_widths)}", await renders(*pair)
        pid = await frozen_worker(pair[0])
        try:
            first = asyncio.create_task(get(pair[0], 1, query))
            await until_metric(pair[0], RENDERS, before + 1)
            second = asyncio.create_task(get(pair[1], 1, query))
            await asyncio.sleep(0.2)
        finally:
            os.kill(pid, signal.SIGCONT)
        led = await first
        begun = time.perf_counter()
        woken = await second
        assert await led.read() == await woken.read()
        assert "collapsed" in woken.headers["Cache-Status"]
        assert await metric(pair[1], RENDERS) == 0
        return time.perf_counter() - begun

    took: list[float] = []

    async def timed() -> None:
        took.append(await trial())

    for _ in range(3):
        await undisturbed(timed, *pair)
    assert min(took) < LEASE / 4


async def test_a_lead_is_held_for_as_long_as_the_render_takes(pair: Pair, get: Get) -> None:
    """Longer than one lease: it is renewed."""

    async def trial() -> None:
        query = f"?w={next(_widths)}"
        before = [await renders(client) for client in pair]
        pid = await frozen_worker(pair[0])
        try:
            first = asyncio.create_task(get(pair[0], 1, query))
            await until_metric(pair[0], RENDERS, before[0] + 1)
            second = asyncio.create_task(get(pair[1], 1, query))
            await asyncio.sleep(LEASE * 1.5)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await (await first).read() == await (await second).read()
        assert await renders(pair[1]) == before[1]

    await undisturbed(trial, *pair)


async def test_a_picture_that_cannot_be_rendered_costs_the_fleet_one_attempt(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, images: Path
) -> None:
    pair = await serve_two()
    contacts = itertools.count(50)
    broken = saved(quarters(160, 120), "JPEG", quality=95)[:600]

    async def trial() -> None:
        contact, before = next(contacts), await renders(*pair)
        (images / f"{contact}.jpg").write_bytes(broken)
        for client in pair:
            await get(client, contact)  # both know it, and think it sound
        asked = await asyncio.gather(*(get(pair[at % 2], contact, f"?w={30 + at // 10}") for at in range(20)))
        assert {response.status for response in asked} == {422}
        later = [(await get(client, contact, "?w=40")).status for client in pair]
        assert later == [422, 422]
        assert await renders(*pair) - before == 1

    await undisturbed(trial, *pair)


async def test_a_deadly_picture_ends_two_workers_of_the_fleet(
    serve_two: Callable[..., Awaitable[Pair]], get: Get
) -> None:
    pair = await serve_two()
    for client in pair:
        assert (await get(client, 1)).status == 200  # both know it, and think it harmless

    async def ended_by_it(client: Client) -> int:
        pid = await frozen_worker(client)
        asked = asyncio.create_task(get(client, 1, "?w=82"))
        await until_metric(client, RENDERS, 1)
        os.kill(pid, signal.SIGKILL)
        response = await asked
        await settled(client)
        return response.status

    async def told(client: Client) -> bool:
        return client.server.app[CACHE].near(1, RECORD) is None  # type: ignore[attr-defined]

    assert await ended_by_it(pair[0]) == 503
    await until(lambda: told(pair[1]), 5, "the other one is told of the strike")
    assert await ended_by_it(pair[1]) == 422
    await until(lambda: told(pair[0]), 5, "the first one is told that it is refused")
    assert (await get(pair[0], 1, "?w=83")).status == 422
    assert await renders(*pair) == 2


async def test_a_purge_amid_a_render_is_not_undone_by_it(pair: Pair, get: Get, shared_valkey: Valkey) -> None:
    """What the leader puts late is kept nowhere."""
    pid = await frozen_worker(pair[0])
    try:
        under_way = [asyncio.create_task(get(pair[0], 1, "?w=33"))]
        await until_metric(pair[0], RENDERS, 1)
        under_way.append(asyncio.create_task(get(pair[1], 1, "?w=33")))
        await asyncio.sleep(0.1)
        assert (await pair[1].request("PURGE", IMAGE.format(1))).status == 204
        new = saved(quarters(40, 40), "PNG")
        answer = await pair[1].put(IMAGE.format(1), data=new, headers={"Content-Type": "image/png"})
        assert answer.status == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    for response in await asyncio.gather(*under_way):
        assert response.status == 200
        assert shown(await response.read()).size in ((33, 25), (33, 33))  # the former picture, or the new one
    for _ in range(3):
        for client in pair:
            response = await get(client, 1, "?w=33")
            assert (response.status, response.content_type) == (200, "image/png")
            assert shown(await response.read()).size == (33, 33)
            await settled(client)


@pytest.mark.parametrize("server", ["with room", "full", "emptied"])
async def test_a_new_picture_is_new_in_the_other_process_at_once(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, own_valkey: Valkey, server: str
) -> None:
    """Though the server does not hold it, or can take nothing."""
    pair = await serve_two(url=own_valkey.url)
    pictures = [saved(quarters(40 + at, 40), "JPEG") for at in range(20)]
    took: list[float] = []
    async with Redis.from_url(own_valkey.url) as redis:
        for at, picture in enumerate(pictures):
            before = await get(pair[1], 1)
            assert "; hit" in (await get(pair[1], 1)).headers["Cache-Status"] or server == "full"
            if server == "full":
                await redis.config_set("maxmemory-policy", "noeviction")
                await redis.config_set("maxmemory", 1)
            if server == "emptied":
                await redis.flushall()
            answer = await pair[0].put(IMAGE.format(1), data=picture, headers={"Content-Type": "image/jpeg"})
            assert answer.status == 200
            begun = time.perf_counter()
            while (seen := await get(pair[1], 1)).headers["ETag"] == before.headers["ETag"]:
                assert time.perf_counter() - begun < 1, at
            took.append(time.perf_counter() - begun)
            assert await seen.read() == picture
            assert await (await get(pair[0], 1)).read() == picture
    assert statistics.median(took) < 0.05


@pytest.mark.parametrize("killed", [False, True], ids=["frozen", "killed"])
async def test_a_write_while_the_server_is_away_is_known_to_all_when_it_is_back(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, own_valkey: Valkey, killed: bool
) -> None:
    one, other = await serve_two(url=own_valkey.url)
    former = saved(quarters(40, 41), "JPEG")
    await one.put(IMAGE.format(1), data=former)
    assert [await (await get(client, 1)).read() for client in (one, other)] == [former, former]
    assert own_valkey.process is not None
    if killed:
        own_valkey.stop()
    else:
        own_valkey.process.send_signal(signal.SIGSTOP)
    try:
        new = saved(quarters(40, 42), "JPEG")
        begun = time.monotonic()
        assert (await one.put(IMAGE.format(1), data=new)).status == 200
        assert time.monotonic() - begun < 5
        assert await (await get(one, 1)).read() == new
        assert await (await get(other, 1)).read() == former  # as it may for as long as that is fresh
    finally:
        if killed:
            own_valkey.start()
        else:
            own_valkey.process.send_signal(signal.SIGCONT)

    async def told() -> bool:
        assert await (await get(one, 1)).read() == new
        return await (await get(other, 1)).read() == new

    await until(told, 5, "the other one knows")


async def test_what_was_purged_while_nothing_was_heard_is_not_believed_afterwards(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, own_valkey: Valkey
) -> None:
    """The deaf one's memory starts empty: what it missed may have been about any contact."""
    one, other = await serve_two(url=own_valkey.url, cache={"prefix": "deaf"})
    former = saved(quarters(40, 41), "JPEG")
    await one.put(IMAGE.format(1), data=former)
    assert await (await get(other, 1)).read() == former
    async with Redis.from_url(own_valkey.url) as redis:
        await command(redis, "ACL", "SETUSER", "default", "resetchannels")  # nobody may listen, nor tell
        await command(redis, "CLIENT", "KILL", "TYPE", "pubsub")

        async def deaf() -> bool:
            return not other.server.app[COHERENCE].heard  # type: ignore[attr-defined]

        await until(deaf, 5, "the subscription is down")
        new = saved(quarters(40, 42), "JPEG")
        assert (await one.put(IMAGE.format(1), data=new)).status == 200
        assert await (await get(one, 1)).read() == new
        assert await (await get(other, 1)).read() in (former, new)  # for as long as it is fresh
        await command(redis, "ACL", "SETUSER", "default", "allchannels")

    async def told() -> bool:
        return await (await get(other, 1)).read() == new

    await until(told, 5, "it hears again, and has forgotten what it knew")


async def test_a_purge_that_nobody_acknowledges_is_not_called_done(serve: Serve, own_valkey: Valkey) -> None:
    client = await serve(url=own_valkey.url, writes={"enabled": True})
    own_valkey.stop()
    refused = await client.request("PURGE", IMAGE.format(1))
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    own_valkey.start()
    async with asyncio.timeout(10):
        while (await client.request("PURGE", IMAGE.format(1))).status != 204:
            await asyncio.sleep(0.05)  # until the server is reached again
