"""The cache slow, frozen, full or gone: no request fails, none waits, and it is used again soon after."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.conftest import Serve, Valkey
from tests.web.conftest import Get
from tests.web.test_coalescing import metric

pytestmark = pytest.mark.usefixtures("people")

NO_MEMORY = {"memory_bytes": 1}
"""So that every look-up reaches the server."""
BOUND = 0.25
"""Seconds that the cache may cost a request in all, by its own account: 0.06, and what a loaded event loop adds.
The promise of 0.1 is measured by the benchmark `faults`, for a slow machine must not fail a test."""


def cache_seconds(response: Any) -> float:
    """What the answer says that it waited for the cache."""
    entries = dict(part.strip().split(";dur=") for part in response.headers["Server-Timing"].split(","))
    return float(entries["cache"]) / 1000


async def burst(get: Get, client: TestClient[Any, Any], count: int = 12) -> list[Any]:
    return await asyncio.gather(*(get(client, 1 + at % 5, f"?w={20 + at % 3}") for at in range(count)))


@pytest.fixture
async def client(serve: Serve, get: Get, own_valkey: Valkey) -> TestClient[Any, Any]:
    made = await serve(url=own_valkey.url, cache=NO_MEMORY)
    await burst(get, made)
    await in_use(get, made)
    return made


async def in_use(get: Get, client: TestClient[Any, Any]) -> None:
    """Return when a request is answered from the server; 5 s at the most."""
    async with asyncio.timeout(5):
        while "; hit" not in (await get(client, 1, "?w=20")).headers["Cache-Status"]:
            await asyncio.sleep(0.02)  # until the breaker lets the next call try


async def test_a_frozen_server_costs_no_request_more_than_the_bound(
    client: TestClient[Any, Any], get: Get, own_valkey: Valkey
) -> None:
    assert own_valkey.process is not None
    own_valkey.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(4):
            for response in await burst(get, client):
                assert response.status == 200
                assert cache_seconds(response) < BOUND
    finally:
        own_valkey.process.send_signal(signal.SIGCONT)
    await in_use(get, client)


async def test_a_server_that_dies_and_returns(client: TestClient[Any, Any], get: Get, own_valkey: Valkey) -> None:
    own_valkey.stop()
    for _ in range(3):
        for response in await burst(get, client):
            assert response.status == 200
            assert cache_seconds(response) < BOUND
    own_valkey.start()
    await in_use(get, client)


async def test_a_server_that_is_not_there_at_the_start(serve: Serve, get: Get, own_valkey: Valkey) -> None:
    own_valkey.stop()
    client = await serve(url=own_valkey.url, cache=NO_MEMORY)
    assert {response.status for response in await burst(get, client)} == {200}
    own_valkey.start()
    await in_use(get, client)


async def test_a_full_server(serve: Serve, get: Get, own_valkey: Valkey) -> None:
    own_valkey.stop()
    own_valkey.start(**{"maxmemory": "1", "maxmemory-policy": "noeviction"})
    client = await serve(url=own_valkey.url, cache=NO_MEMORY)
    for response in await burst(get, client):
        assert response.status == 200
        assert cache_seconds(response) < BOUND


async def test_a_server_slower_than_we_wait(serve: Serve, get: Get, own_valkey: Valkey) -> None:
    """Every answer comes 60 ms late: too late for one look-up, so the request goes on without."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(own_valkey.socket))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float) -> None:
            while data := await source.read(65_536):
                await asyncio.sleep(delay)
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, inner_writer, 0.06), pump(inner_reader, writer, 0.0), return_exceptions=True)
        for each in (inner_writer, writer):
            each.close()

    proxy = await asyncio.start_server(late, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    client = await serve(url=f"redis://127.0.0.1:{port}", cache=NO_MEMORY)
    for _ in range(3):
        for response in await burst(get, client, 10):
            assert response.status == 200
            assert cache_seconds(response) < BOUND
    proxy.close()


async def test_what_memory_holds_needs_no_server(serve: Serve, get: Get, own_valkey: Valkey) -> None:
    client = await serve(url=own_valkey.url)
    await get(client, 1, "?w=20")
    own_valkey.stop()
    response = await get(client, 1, "?w=20")
    assert "; hit" in response.headers["Cache-Status"]
    assert await metric(client, "contact_image_renders_started_total") == 1


async def test_two_processes_share_what_one_has_rendered(serve: Serve, get: Get, own_valkey: Valkey) -> None:
    one = await serve(url=own_valkey.url, cache={"prefix": "shared"})
    other = await serve(url=own_valkey.url, cache={"prefix": "shared"})
    first = await get(one, 1, "?w=30")
    await settled(one)
    second = await get(other, 1, "?w=30")
    assert await second.read() == await first.read()
    assert "; hit" in second.headers["Cache-Status"]
    assert await metric(other, "contact_image_renders_started_total") == 0


async def settled(client: TestClient[Any, Any]) -> None:
    """Wait until what was put after the answers has reached the server."""
    from service.app import CACHE

    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]


async def test_readiness_is_degraded_without_the_cache(
    client: TestClient[Any, Any], get: Get, own_valkey: Valkey
) -> None:
    own_valkey.stop()
    begun = time.perf_counter()
    response = await client.get("/readyz")
    assert response.status == 200
    assert await response.json() == {"status": "degraded", "render": "ok", "store": "ok", "cache": "failed"}
    assert time.perf_counter() - begun < 4
