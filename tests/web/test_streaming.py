"""Slow readers: how much memory they use, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.conftest import Serve
from tests.web.conftest import Get
from tests.web.test_coalescing import metric
from tools.pictures.drawing import quarters, saved

SIZE = 6_000_000


@pytest.fixture
def large(images: Path) -> bytes:
    data = saved(quarters(64, 48), "JPEG") + bytes(SIZE)
    (images / "1.jpg").write_bytes(data)
    return data


async def ask(client: TestClient[Any, Any], accept: str = "*/*") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request over a connection with small buffers, and do not read the answer's body."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (client.host, client.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1_024)
    writer.write(f"GET /api/v1/Contact/1/Image HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
    return reader, writer


async def end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
@pytest.mark.parametrize("max_entry_bytes", [10_000, 8_388_608], ids=["from the store", "from the cache"])
async def test_slow_readers_use_little_memory(
    serve: Serve, get: Get, large: bytes, accept: str, max_entry_bytes: int
) -> None:
    readers = 20
    client = await serve(cache={"max_entry_bytes": max_entry_bytes})
    await get(client, 1, Accept=accept)
    reader, writer = await ask(client, accept)
    await reader.readline()
    await end(writer)  # the first connection allocates what later ones share
    gc.collect()
    tracemalloc.start()
    baseline = tracemalloc.get_traced_memory()[0]
    connections = [await ask(client, accept) for _ in range(readers)]
    try:
        for reader, _ in connections:
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        await asyncio.sleep(0.5)  # until all buffers are full
        gc.collect()  # garbage is not held
        held = tracemalloc.get_traced_memory()[0] - baseline
    finally:
        tracemalloc.stop()
        for _, writer in connections:
            await end(writer)
    # Both ends of a connection are in this process: the client's reader, limited to 2 KiB, counts as well.
    assert held / readers < 98_304


async def test_client_that_stops_reading_is_disconnected(serve: Serve, large: bytes) -> None:
    client = await serve(server={"write_timeout": 0.3})
    reader, writer = await ask(client)
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    async with asyncio.timeout(60):
        received = 0
        await asyncio.sleep(1.0)  # the client does not read
        with pytest.raises(ConnectionResetError):
            while chunk := await reader.read(65_536):
                received += len(chunk)
            raise ConnectionResetError  # or a normal end, with too few bytes
    assert received < SIZE
    await end(writer)


async def test_slow_reader_gets_the_whole_picture(serve: Serve, large: bytes) -> None:
    client = await serve(server={"write_timeout": 60.0})
    reader, writer = await ask(client)
    while await reader.readline() != b"\r\n":
        pass
    received = bytearray()
    while len(received) < len(large):
        piece = await reader.read(50_000)
        assert piece, "the connection was closed"
        received += piece
        await asyncio.sleep(0.001)
    assert bytes(received) == large
    await end(writer)


async def test_file_truncated_while_it_is_sent_ends_the_connection(serve: Serve, large: bytes, images: Path) -> None:
    client = await serve(cache={"max_entry_bytes": 10_000})
    reader, writer = await ask(client)
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    with (images / "1.jpg").open("r+b") as file:
        file.truncate(1_000)
    received = 0
    async with asyncio.timeout(60):
        try:
            while chunk := await reader.read(65_536):
                received += len(chunk)
        except ConnectionResetError:
            pass
    assert received < SIZE
    await end(writer)


async def test_connection_serves_another_request_after_a_large_picture(serve: Serve, get: Get, large: bytes) -> None:
    client = await serve()
    for _ in range(3):
        assert await (await get(client, 1)).read() == large
        assert (await get(client, 1, "?w=20")).status == 200


async def test_disconnecting_readers_cause_no_error(serve: Serve, get: Get, large: bytes) -> None:
    client = await serve(cache={"max_entry_bytes": 10_000})
    for _ in range(10):
        _, writer = await ask(client)
        await end(writer)
    async with asyncio.timeout(60):
        while await metric(client, "contact_image_store_reads_total") < 11:  # one lookup, and ten reads
            await asyncio.sleep(0.005)  # until the server has noticed
    assert await metric(client, 'contact_image_requests_total{method="GET",route="image",status="500"}') == 0
