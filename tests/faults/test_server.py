"""The cache server frozen, killed, full, slow or emptied under load: no request fails, none waits, none is wrong, and
it is in use again soon after."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.conftest import Serve, Valkey
from tests.faults.conftest import NO_MEMORY, RENDERS, Crowd, undisturbed, until
from tests.web.conftest import Get
from tests.web.test_coalescing import metric

Fault = Callable[[Valkey], Awaitable[None]]
AWHILE = 1.2
"""Seconds for which it says nothing: longer than the cache's own limits, which are a second at most."""


async def frozen(server: Valkey) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(AWHILE)
    finally:
        server.process.send_signal(signal.SIGCONT)


async def killed(server: Valkey) -> None:
    server.stop()
    await asyncio.sleep(AWHILE)
    server.start()


async def stuttering(server: Valkey) -> None:
    """About as long as a look-up is waited for, and as a connection is."""
    for seconds in (0.03, 0.06, 0.97, 1.0, 1.03):
        await command(server, "DEBUG", "SLEEP", seconds)


async def paused(server: Valkey) -> None:
    await command(server, "CLIENT", "PAUSE", round(AWHILE * 1000), "ALL")
    await asyncio.sleep(AWHILE)


async def hung_up_on(server: Valkey) -> None:
    for _ in range(10):
        for kind in ("normal", "pubsub"):
            await command(server, "CLIENT", "KILL", "TYPE", kind)
        await asyncio.sleep(0.05)


async def emptied(server: Valkey) -> None:
    for _ in range(5):
        await command(server, "FLUSHALL")
        await asyncio.sleep(0.1)


async def full(server: Valkey) -> None:
    await command(server, "CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", 1)
    await asyncio.sleep(0.5)
    await command(server, "CONFIG", "SET", "maxmemory", "64mb")


async def forgetful_of_scripts(server: Valkey) -> None:
    await command(server, "SCRIPT", "FLUSH")
    await asyncio.sleep(0.2)


async def command(server: Valkey, *words: str | int | float) -> object:
    async with Redis.from_url(server.url) as client:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "fault", [frozen, killed, stuttering, paused, hung_up_on, emptied, full, forgetful_of_scripts],
    ids=lambda fault: fault.__name__,
)  # fmt: skip
async def test_under_load(crowd: Crowd, own_valkey: Valkey, fault: Fault) -> None:
    async with crowd.reading():
        await asyncio.sleep(0.1)
        await fault(own_valkey)
    await crowd.in_use()


async def test_an_emptied_server_costs_one_render_a_rendition(crowd: Crowd, own_valkey: Valkey) -> None:
    async def trial() -> None:
        before = await crowd.renders()
        await command(own_valkey, "FLUSHALL")
        await crowd.read(10)
        assert await crowd.renders() - before == len(set(crowd.wanted))

    await undisturbed(trial, crowd.client)


async def test_a_full_server_goes_on_giving_what_it_holds(
    crowd: Crowd, own_valkey: Valkey, get: Get, images: Path
) -> None:
    """Whatever else is asked for and cannot be put."""
    for contact in range(10, 30):
        os.link(images / "1.jpg", images / f"{contact}.jpg")
    await command(own_valkey, "CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", 1)

    async def trial() -> None:
        before = await crowd.renders()
        asked = await asyncio.gather(*(get(crowd.client, contact, "?w=30") for contact in range(10, 30)))
        assert {response.status for response in asked} == {200}
        await crowd.read(3)
        assert await crowd.renders() - before == 20

    await undisturbed(trial, crowd.client)


async def test_a_server_that_is_not_there_at_the_start(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    own_valkey.stop()
    crowd = Crowd(await serve(url=own_valkey.url, cache=NO_MEMORY), get)
    await crowd.read(2)
    own_valkey.start()
    await crowd.in_use()


async def test_a_server_frozen_amid_the_first_handshakes(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    """What it says late is answered to nobody."""
    assert own_valkey.process is not None
    own_valkey.process.send_signal(signal.SIGSTOP)
    try:
        crowd = Crowd(await serve(url=own_valkey.url, cache=NO_MEMORY), get)
        async with crowd.reading():
            await asyncio.sleep(2.5)  # the breaker lets some try again
    finally:
        own_valkey.process.send_signal(signal.SIGCONT)
    await crowd.in_use()
    await crowd.read(5)


async def test_without_a_server_identical_requests_share_a_render_in_each_process(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    clients = [await serve(url=own_valkey.url, cache={"prefix": "alone"}) for _ in range(2)]
    own_valkey.stop()
    asked = await asyncio.gather(*(get(clients[at % 2], 1, "?w=21") for at in range(100)))
    assert {response.status for response in asked} == {200}
    assert len({await response.read() for response in asked}) == 1
    assert [await metric(client, RENDERS) for client in clients] == [1, 1]


async def test_what_memory_holds_needs_no_server(serve: Serve, get: Get, own_valkey: Valkey, people: object) -> None:
    client = await serve(url=own_valkey.url)
    await get(client, 1, "?w=20")
    own_valkey.stop()
    response = await get(client, 1, "?w=20")
    assert "; hit" in response.headers["Cache-Status"]
    assert await metric(client, RENDERS) == 1


async def test_a_server_slower_than_we_wait(serve: Serve, get: Get, own_valkey: Valkey, people: object) -> None:
    """Every answer comes 60 ms late: too late for one look-up, so the request goes on without."""
    under_way: set[asyncio.Task[None] | None] = set()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.current_task())
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(own_valkey.socket))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float) -> None:
            while data := await source.read(65_536):
                await asyncio.sleep(delay)
                sink.write(data)
            sink.close()

        try:
            await asyncio.gather(pump(reader, inner_writer, 0.06), pump(inner_reader, writer, 0.0))
        except ConnectionError:
            pass  # one side has left: so does the other
        finally:
            for each in (inner_writer, writer):
                each.close()

    proxy = await asyncio.start_server(late, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    crowd = Crowd(await serve(url=f"redis://127.0.0.1:{port}", cache=NO_MEMORY), get)
    for _ in range(3):
        await crowd.read()
    crowd.check_waits()
    proxy.close()
    for task in under_way:
        assert task is not None
        task.cancel()
    await asyncio.wait([task for task in under_way if task])


async def test_one_that_speaks_no_protocol_of_ours(serve: Serve, get: Get, own_valkey: Valkey, people: object) -> None:
    """And then the server is there: whoever listens has not given up."""
    own_valkey.stop()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n\x00\xff")
        writer.close()

    stranger = await asyncio.start_unix_server(babble, str(own_valkey.socket))
    crowd = Crowd(await serve(url=own_valkey.url, cache=NO_MEMORY), get)
    for _ in range(3):
        await crowd.read()
    stranger.close()
    own_valkey.socket.unlink(missing_ok=True)
    own_valkey.start()
    await crowd.in_use()

    async def listened_to() -> bool:
        return b"news" in b"".join(await command(own_valkey, "PUBSUB", "CHANNELS"))  # type: ignore[arg-type]

    await until(listened_to, 60, "it is listened to")


async def test_readiness_is_degraded_without_it(crowd: Crowd, own_valkey: Valkey) -> None:
    own_valkey.stop()
    response = await crowd.client.get("/readyz")
    assert response.status == 200
    assert await response.json() == {"status": "degraded", "render": "ok", "store": "ok", "cache": "failed"}
