"""The cache server frozen, killed, full, slow or emptied under load: every answer is right and in time.

Afterwards the server is used again.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.web.keys import CACHE
from tests.conftest import Serve, Valkey
from tests.faults.conftest import NO_MEMORY, RENDERS, Readers, subscribed, undisturbed
from tests.waiting import until
from tests.web.conftest import Get
from tests.web.test_coalescing import metric

Fault = Callable[[Valkey], Awaitable[None]]
SILENCE = 1.2
"""Seconds of silence: longer than the time limits of the cache, which are at most a second."""

SHARED_HITS = 'contact_image_cache_total{layer="shared",outcome="hit"}'


async def frozen(server: Valkey) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(SILENCE)
    finally:
        server.process.send_signal(signal.SIGCONT)


async def killed(server: Valkey) -> None:
    server.stop()
    await asyncio.sleep(SILENCE)
    server.start()


async def stuttering(server: Valkey) -> None:
    """Be silent for about the time limits of a lookup and of a connection."""
    for seconds in (0.03, 0.06, 0.97, 1.0, 1.03):
        await command(server, "DEBUG", "SLEEP", seconds)


async def paused(server: Valkey) -> None:
    await command(server, "CLIENT", "PAUSE", round(SILENCE * 1000), "ALL")
    await asyncio.sleep(SILENCE)


async def disconnecting(server: Valkey) -> None:
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


async def without_scripts(server: Valkey) -> None:
    await command(server, "SCRIPT", "FLUSH")
    await asyncio.sleep(0.2)


async def command(server: Valkey, *words: str | int | float) -> object:
    async with Redis.from_url(server.url) as client:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "fault", [frozen, killed, stuttering, paused, disconnecting, emptied, full, without_scripts],
    ids=lambda fault: fault.__name__,
)  # fmt: skip
async def test_answers_are_right_and_in_time_under_load_while_the_server_is(
    readers: Readers, own_valkey: Valkey, fault: Fault
) -> None:
    async with readers.reading():
        await asyncio.sleep(0.1)
        await fault(own_valkey)
    await readers.in_use()


async def test_emptied_server_costs_one_render_for_each_rendition(readers: Readers, own_valkey: Valkey) -> None:
    async def trial() -> None:
        before = await readers.renders()
        await command(own_valkey, "FLUSHALL")
        await readers.read(10)
        assert await readers.renders() - before == len(set(readers.wanted))

    await undisturbed(trial, readers.client)


async def test_full_server_still_answers_lookups(readers: Readers, own_valkey: Valkey, get: Get, images: Path) -> None:
    """Other renditions are rendered and cannot be put."""
    for contact in range(10, 30):
        os.link(images / "1.jpg", images / f"{contact}.jpg")
    await command(own_valkey, "CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", 1)

    async def trial() -> None:
        before = await readers.renders()
        asked = await asyncio.gather(*(get(readers.client, contact, "?w=30") for contact in range(10, 30)))
        assert {response.status for response in asked} == {200}
        await readers.read(3)
        assert await readers.renders() - before == 20

    await undisturbed(trial, readers.client)


async def test_pictures_in_memory_stay_hits_when_a_frozen_server_answers_again(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    client = await serve(url=own_valkey.url)
    readers, cache = Readers(client, get), client.server.app[CACHE]  # type: ignore[attr-defined]
    await readers.read()
    await subscribed(client)
    assert own_valkey.process is not None
    own_valkey.process.send_signal(signal.SIGSTOP)
    try:
        await until(lambda: not cache.subscribed)
        await readers.read()
    finally:
        own_valkey.process.send_signal(signal.SIGCONT)
    await subscribed(client)
    before = [await metric(client, name) for name in (RENDERS, SHARED_HITS)]
    await readers.read()
    assert [await metric(client, name) for name in (RENDERS, SHARED_HITS)] == before


async def test_server_that_is_missing_at_the_start_is_used_later(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    own_valkey.stop()
    readers = Readers(await serve(url=own_valkey.url, cache=NO_MEMORY), get)
    await readers.read(2)
    own_valkey.start()
    await readers.in_use()


async def test_server_that_freezes_during_the_first_handshakes_is_used_later(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    """Its late replies are dropped."""
    assert own_valkey.process is not None
    own_valkey.process.send_signal(signal.SIGSTOP)
    try:
        readers = Readers(await serve(url=own_valkey.url, cache=NO_MEMORY), get)
        async with readers.reading():
            await asyncio.sleep(2.5)  # the breaker admits some calls
    finally:
        own_valkey.process.send_signal(signal.SIGCONT)
    await readers.in_use()
    await readers.read(5)


async def test_without_a_server_identical_requests_share_a_render_in_each_process(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    clients = [await serve(url=own_valkey.url, cache={"prefix": "without-server"}) for _ in range(2)]
    own_valkey.stop()
    asked = await asyncio.gather(*(get(clients[at % 2], 1, "?w=21") for at in range(100)))
    assert {response.status for response in asked} == {200}
    assert len({await response.read() for response in asked}) == 1
    assert [await metric(client, RENDERS) for client in clients] == [1, 1]


async def test_hit_in_memory_needs_no_server(serve: Serve, get: Get, own_valkey: Valkey, people: object) -> None:
    client = await serve(url=own_valkey.url)
    await get(client, 1, "?w=20")
    own_valkey.stop()
    response = await get(client, 1, "?w=20")
    assert "; hit" in response.headers["Cache-Status"]
    assert await metric(client, RENDERS) == 1


async def test_server_that_is_slower_than_the_time_limit_delays_no_request(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    """Every reply comes 60 ms late. A lookup has 30 ms."""
    under_way: set[asyncio.Task[None] | None] = set()

    async def delayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
            pass  # one side is closed, and then the other
        finally:
            for each in (inner_writer, writer):
                each.close()

    proxy = await asyncio.start_server(delayed, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    readers = Readers(await serve(url=f"redis://127.0.0.1:{port}", cache=NO_MEMORY), get)
    for _ in range(3):
        await readers.read()
    readers.check_waits()
    proxy.close()
    for task in under_way:
        assert task is not None
        task.cancel()
    await asyncio.wait([task for task in under_way if task])


async def test_server_of_another_protocol_delays_no_request(
    serve: Serve, get: Get, own_valkey: Valkey, people: object
) -> None:
    """When a real server takes its place, it is used, and the process subscribes."""
    own_valkey.stop()

    async def answer_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n\x00\xff")
        writer.close()

    other_server = await asyncio.start_unix_server(answer_http, str(own_valkey.socket))
    readers = Readers(await serve(url=own_valkey.url, cache=NO_MEMORY), get)
    for _ in range(3):
        await readers.read()
    other_server.close()
    own_valkey.socket.unlink(missing_ok=True)
    own_valkey.start()
    await readers.in_use()

    async def has_subscriber() -> bool:
        return b"news" in b"".join(await command(own_valkey, "PUBSUB", "CHANNELS"))  # type: ignore[arg-type]

    await until(has_subscriber, 60, "the process subscribes")


async def test_readiness_is_degraded_without_the_server(readers: Readers, own_valkey: Valkey) -> None:
    own_valkey.stop()
    response = await readers.client.get("/readyz")
    assert response.status == 200
    assert await response.json() == {"status": "degraded", "render": "ok", "store": "ok", "cache": "failed"}
