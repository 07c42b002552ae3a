"""Two processes and one server: a change in one process is seen in the other at once."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from service.web.keys import CACHE
from tests.caches.wrong_server import giving
from tests.conftest import Serve, Valkey
from tests.faults.conftest import RENDERS, Pair, settled, subscribed
from tests.pixels import shown
from tests.waiting import until
from tests.web.conftest import IMAGE, Get
from tests.web.test_coalescing import frozen_worker, until_metric
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")


async def command(redis: Redis, *words: str) -> None:
    await redis.execute_command(*words)  # type: ignore[no-untyped-call]


async def test_render_that_began_before_a_purge_does_not_undo_it(pair: Pair, get: Get, shared_valkey: Valkey) -> None:
    """The late put of the leader is refused in both layers."""
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
        assert shown(await response.read()).size in ((33, 25), (33, 33))  # the old picture, or the new one
    for _ in range(3):
        for client in pair:
            response = await get(client, 1, "?w=33")
            assert (response.status, response.content_type) == (200, "image/png")
            assert shown(await response.read()).size == (33, 33)
            await settled(client)


@pytest.mark.parametrize("server", ["with room", "full", "emptied"])
async def test_new_picture_is_served_by_the_other_process_at_once(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, own_valkey: Valkey, server: str
) -> None:
    """The server may be empty or full."""
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
                assert time.perf_counter() - begun < 20, at
            took.append(time.perf_counter() - begun)
            assert await seen.read() == picture
            assert await (await get(pair[0], 1)).read() == picture
    assert statistics.median(took) < 2  # seconds; a message takes milliseconds on a quiet machine


@pytest.mark.parametrize("killed", [False, True], ids=["frozen", "killed"])
async def test_write_while_the_server_is_down_reaches_all_processes_when_it_is_back(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, own_valkey: Valkey, killed: bool
) -> None:
    one, other = await serve_two(url=own_valkey.url)
    old = saved(quarters(40, 41), "JPEG")
    await one.put(IMAGE.format(1), data=old)
    assert [await (await get(client, 1)).read() for client in (one, other)] == [old, old]
    assert own_valkey.process is not None
    if killed:
        own_valkey.stop()
    else:
        own_valkey.process.send_signal(signal.SIGSTOP)
    try:
        new = saved(quarters(40, 42), "JPEG")
        begun = time.monotonic()
        assert (await one.put(IMAGE.format(1), data=new)).status == 200
        assert time.monotonic() - begun < 20
        assert await (await get(one, 1)).read() == new
        assert await (await get(other, 1)).read() == old  # its record is fresh
    finally:
        if killed:
            own_valkey.start()
        else:
            own_valkey.process.send_signal(signal.SIGCONT)

    async def new_in_both() -> bool:
        assert await (await get(one, 1)).read() == new
        return await (await get(other, 1)).read() == new

    await until(new_in_both, 60, "both serve the new picture")


async def test_write_stays_when_the_server_is_restored_from_an_older_dump(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, own_valkey: Valkey
) -> None:
    pair = await serve_two(url=own_valkey.url, cache={"prefix": "fleet"})
    old, new = (saved(quarters(40, size), "JPEG") for size in (41, 42))
    await pair[0].put(IMAGE.format(1), data=old)
    assert [await (await get(client, 1)).read() for client in pair] == [old, old]
    await settled(pair[0])
    async with Redis.from_url(own_valkey.url) as redis:
        await command(redis, "SAVE")
    assert (await pair[0].put(IMAGE.format(1), data=new)).status == 200

    async def heard() -> bool:
        return await (await get(pair[1], 1)).read() == new

    await until(heard, 60, "the other process has dropped the old picture from memory")
    own_valkey.stop()
    own_valkey.start()
    for _ in range(2):
        for _ in range(50):
            assert [await (await get(client, 1)).read() for client in pair] == [new, new]
        await subscribed(*pair)  # memory is empty once more


async def test_entries_that_were_purged_while_unsubscribed_are_not_served_afterwards(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, own_valkey: Valkey
) -> None:
    """The memory is emptied: the lost messages may have concerned any contact."""
    one, other = await serve_two(url=own_valkey.url, cache={"prefix": "unsubscribed"})
    old = saved(quarters(40, 41), "JPEG")
    await one.put(IMAGE.format(1), data=old)
    assert await (await get(other, 1)).read() == old
    async with Redis.from_url(own_valkey.url) as redis:
        await command(redis, "ACL", "SETUSER", "default", "resetchannels")  # no client may subscribe or publish
        await command(redis, "CLIENT", "KILL", "TYPE", "pubsub")

        async def unsubscribed() -> bool:
            return not other.server.app[CACHE].subscribed  # type: ignore[attr-defined]

        await until(unsubscribed, 60, "the subscription is down")
        new = saved(quarters(40, 42), "JPEG")
        assert (await one.put(IMAGE.format(1), data=new)).status == 200
        assert await (await get(one, 1)).read() == new
        assert await (await get(other, 1)).read() in (old, new)  # the old one while its record is fresh
        await command(redis, "ACL", "SETUSER", "default", "allchannels")

    async def new_picture() -> bool:
        return await (await get(other, 1)).read() == new

    await until(new_picture, 60, "it is subscribed, and its memory is empty")


async def test_purge_that_the_server_does_not_acknowledge_is_503(serve: Serve, own_valkey: Valkey) -> None:
    client = await serve(url=own_valkey.url, writes={"enabled": True})
    own_valkey.stop()
    refused = await client.request("PURGE", IMAGE.format(1))
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    own_valkey.start()
    async with asyncio.timeout(60):
        while (await client.request("PURGE", IMAGE.format(1))).status != 204:
            await asyncio.sleep(0.05)  # until the server is reached again


@pytest.mark.parametrize("reply", [b"+OK\r\n", b":0\r\n", b"$-1\r\n", b"*0\r\n"])
async def test_purge_that_gets_a_wrong_reply_is_503_and_is_tried_again(
    serve: Serve, own_valkey: Valkey, reply: bytes
) -> None:
    client = await serve(url=own_valkey.url, writes={"enabled": True})
    own_valkey.stop()
    async with giving(reply, own_valkey.socket):
        for _ in range(3):
            assert (await client.request("PURGE", IMAGE.format(1))).status == 503
    own_valkey.start()
    async with asyncio.timeout(60):
        while (await client.request("PURGE", IMAGE.format(1))).status != 204:
            await asyncio.sleep(0.05)  # until the server is reached again
