"""Slow readers: how much memory they use, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from PIL import Image

from service.pictures.values import PIECE
from tests.conftest import Serve
from tests.web.conftest import Get
from tests.web.test_coalescing import metric
from tools.pictures.drawing import quarters, saved

SIZE = 6_000_000
NOISE = "?type=PNG&w=500"
"""A rendition of about 700 KB, of the original that the fixture `noise` makes."""
LARGE_NOISE = "?type=PNG&w=1500"
"""A rendition of about 6 MB: more than the kernel buffers for a client that does not read."""


@pytest.fixture
def large(images: Path) -> bytes:
    data = saved(quarters(64, 48), "JPEG") + bytes(SIZE)
    (images / "1.jpg").write_bytes(data)
    return data


@pytest.fixture
def noise(images: Path) -> None:
    pixels = random.Random(1).randbytes(3 * 1500 * 1400)
    (images / "1.jpg").write_bytes(saved(Image.frombytes("RGB", (1500, 1400), pixels), "JPEG", quality=95))


async def ask(
    client: TestClient[Any, Any], accept: str = "*/*", query: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request over a connection with small buffers, and do not read the answer's body."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (client.host, client.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1_024)
    writer.write(f"GET /api/v1/Contact/1/Image{query} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
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
    # A piece, its base64, and the copy that asyncio's transport keeps where there is no uvloop.
    assert held / readers < 5 * PIECE


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


async def test_client_that_reads_a_little_within_every_write_timeout_gets_the_whole_picture(
    serve: Serve, get: Get, noise: None
) -> None:
    client = await serve(server={"write_timeout": 0.4})
    body = await (await get(client, 1, NOISE)).read()
    reader, writer = await ask(client, query=NOISE)
    header = await reader.readuntil(b"\r\n\r\n")
    assert b"contact-image; hit" in header.lower()
    received = bytearray()
    async with asyncio.timeout(120):
        while len(received) < len(body):
            received += await reader.readexactly(min(40_000, len(body) - len(received)))
            await asyncio.sleep(0.1)  # 1.8 s in all
    assert bytes(received) == body
    await end(writer)


async def test_client_that_does_not_read_a_large_repeat_is_disconnected(serve: Serve, get: Get, noise: None) -> None:
    client = await serve(server={"write_timeout": 0.3})
    body = await (await get(client, 1, LARGE_NOISE)).read()
    reader, writer = await ask(client, query=LARGE_NOISE)
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    await asyncio.sleep(1.0)  # the client does not read
    received = 0
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionResetError):
            while chunk := await reader.read(65_536):
                received += len(chunk)
    assert received < len(body)
    await end(writer)


@pytest.mark.parametrize("unsent_bytes", [1, 67_108_864], ids=["in pieces", "whole"])
async def test_large_repeats_are_the_whole_picture(serve: Serve, get: Get, noise: None, unsent_bytes: int) -> None:
    client = await serve(server={"unsent_bytes": unsent_bytes})
    first = await get(client, 1, NOISE)
    body = await first.read()
    assert len(body) > 500_000
    for _ in range(3):
        answers = await asyncio.gather(*(get(client, 1, NOISE) for _ in range(8)))
        for answer in answers:
            assert await answer.read() == body
            assert answer.headers["Cache-Status"].startswith("contact-image; hit")
    unchanged = await get(client, 1, NOISE, **{"If-None-Match": first.headers["ETag"]})
    assert (unchanged.status, await unchanged.read()) == (304, b"")
    head = await client.head(f"/api/v1/Contact/1/Image{NOISE}")
    assert (head.headers["Content-Length"], await head.read()) == (str(len(body)), b"")


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
