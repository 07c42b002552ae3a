"""Clients that leave before their request is answered."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Serve
from tests.faults.conftest import RENDERS, Client, Pair
from tests.operations.running import Service, block_until, running
from tests.waiting import until
from tests.web.conftest import IMAGE, Get
from tests.web.test_coalescing import frozen_worker, metric, recorded
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people", "spawned_renderers")

ABANDONED = "contact_image_abandoned_total"
QUEUED = "contact_image_render_queue_depth"
ANSWERED = 'contact_image_requests_total{method="GET",route="image",status="200"}'
RESET = struct.pack("ii", 1, 0)
"""The value of SO_LINGER with which `close` sends an RST."""


async def send(client: Client, contact: int, query: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request for a picture over a connection of its own."""
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.write(f"GET {IMAGE.format(contact)}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


async def leave(client: Client, contact: int, query: str, after: float = 0.015) -> None:
    """Request a picture, and send an RST *after* seconds."""
    _, writer = await send(client, contact, query)
    await asyncio.sleep(after)
    writer.transport.abort()


@asynccontextmanager
async def busy_renderer(client: Client) -> AsyncIterator[None]:
    """The only render process is frozen during the block, with a render that has begun: the sixth one.

    The contacts 1 to 5 have been rendered before, since the first render of a contact runs without others.
    """
    for contact in range(1, 6):
        assert (await client.get(f"{IMAGE.format(contact)}?w=19")).status == 200
    pid = await frozen_worker(client)
    busy = asyncio.create_task(client.get(f"{IMAGE.format(5)}?w=33"))
    try:
        await until_equal(client, RENDERS, 6)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await busy).status == 200


async def until_equal(client: Client, name: str, value: float) -> None:
    async def equal() -> bool:
        return await metric(client, name) == value

    await until(equal, 60, f"{name} is {value:g}")


async def test_clients_that_leave_cause_a_handful_of_renders(serve: Serve, get: Get) -> None:
    client = await serve()
    async with busy_renderer(client):
        for first in range(0, 300, 50):
            await asyncio.gather(*(leave(client, 1 + at % 4, f"?w={20 + at}") for at in range(first, first + 50)))
        await until_equal(client, ABANDONED, 300)
        good = [asyncio.create_task(get(client, 1, f"?w={400 + at}")) for at in range(20)]
        await asyncio.sleep(0.1)
    assert [(await each).status for each in good] == [200] * 20
    assert await metric(client, RENDERS) <= 6 + 20 + 5
    assert await metric(client, ANSWERED) == 6 + 20


async def test_half_closed_client_gets_its_picture(serve: Serve) -> None:
    client = await serve()
    for query in ("?w=40", "?w=40", ""):
        reader, writer = await send(client, 1, query)
        writer.write_eof()
        async with asyncio.timeout(60):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_half_closed_client_gets_the_answers_to_all_its_requests(serve: Serve) -> None:
    client = await serve()
    reader, writer = await send(client, 1, "?w=41")
    writer.write(f"GET {IMAGE.format(2)}?w=41 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 2)
    writer.write_eof()
    async with asyncio.timeout(60):
        assert (await reader.read()).count(b"HTTP/1.1 200 ") == 3
    writer.close()


async def test_connection_that_ends_within_an_upload_is_closed(serve: Serve) -> None:
    client = await serve(writes={"enabled": True})
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(f"PUT {IMAGE.format(1)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf".encode())
    await asyncio.sleep(0.05)
    writer.write_eof()
    async with asyncio.timeout(20):  # less than the time limit of uploads
        assert await reader.read() == b""
    writer.close()


async def test_order_of_a_half_closed_client_is_refused_while_others_wait(serve: Serve, get: Get) -> None:
    client = await serve()
    async with busy_renderer(client):
        good = [asyncio.create_task(get(client, 2, "?w=50"))]  # it waits for the process, the others for a place
        await asyncio.sleep(0.1)
        half_closed = [await send(client, 1, f"?w={51 + at}") for at in range(3)]
        for _, writer in half_closed:
            writer.write_eof()
        await until_equal(client, QUEUED, 3)
        good += [asyncio.create_task(get(client, 2, f"?w={60 + at}")) for at in range(3)]
        await until_equal(client, QUEUED, 6)
    assert [(await each).status for each in good] == [200] * 4
    for reader, writer in half_closed:
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
    assert await metric(client, RENDERS) == 6 + 4


async def test_orders_of_half_closed_clients_alone_are_rendered(serve: Serve) -> None:
    client = await serve()
    async with busy_renderer(client):
        half_closed = [await send(client, 1, f"?w={51 + at}") for at in range(4)]
        for _, writer in half_closed:
            writer.write_eof()
        await until_equal(client, QUEUED, 3)
    for reader, writer in half_closed:
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_order_with_a_client_that_is_not_half_closed_does_not_yield(serve: Serve, get: Get) -> None:
    client = await serve()
    async with busy_renderer(client):
        good = [asyncio.create_task(get(client, 2, "?w=50"))]
        await asyncio.sleep(0.1)
        reader, writer = await send(client, 1, "?w=51")
        writer.write_eof()
        await until_equal(client, QUEUED, 1)
        good += [asyncio.create_task(get(client, each, "?w=51")) for each in (1, 2)]
        await until_equal(client, QUEUED, 2)
    assert [(await each).status for each in good] == [200] * 3
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_render_that_has_begun_is_cached_when_its_client_has_left(serve: Serve, get: Get) -> None:
    client = await serve()
    pid = await frozen_worker(client)
    await leave(client, 1, "?w=79", after=2.0)
    await until_equal(client, ABANDONED, 1)
    os.kill(pid, signal.SIGCONT)
    await until_equal(client, "contact_image_renders_finished_total", 1)
    assert "; hit" in (await get(client, 1, "?w=79")).headers["Cache-Status"]


async def test_long_render_without_clients_is_ended_while_others_wait(
    serve: Serve, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no strike, and no render is tried again."""
    monkeypatch.setattr("service.rendering.pool._LONG", 0.0)
    client = await serve()
    await frozen_worker(client)
    _, writer = await send(client, 1, "?w=79")
    await until_equal(client, RENDERS, 1)
    writer.transport.abort()
    await until_equal(client, ABANDONED, 1)
    assert await metric(client, "contact_image_renders_abandoned_total") == 0
    assert (await get(client, 2, "?w=79")).status == 200
    assert await metric(client, "contact_image_renders_abandoned_total") == 1
    assert await metric(client, "contact_image_renders_failed_total") == 0
    assert await metric(client, 'contact_image_process_restarts_total{process="render"}') == 0
    assert recorded(client, 1).strikes == 0
    assert await metric(client, RENDERS) == 2


async def test_render_of_a_client_that_stays_is_not_ended_while_others_wait(
    serve: Serve, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rendering.pool._LONG", 0.0)
    client = await serve()
    async with busy_renderer(client):
        waiting = asyncio.create_task(get(client, 2, "?w=79"))
        await leave(client, 5, "?w=33", after=0.1)
        await until_equal(client, ABANDONED, 1)
    assert (await waiting).status == 200
    assert await metric(client, "contact_image_renders_abandoned_total") == 0


async def test_when_the_leader_has_no_client_the_other_process_renders_at_once(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the news of the end of the lease wakes it: the lease lasts longer than the test waits."""
    monkeypatch.setattr("service.wiring.caches.LEASE", 600.0)
    one, other = await serve_two()
    async with busy_renderer(one), asyncio.timeout(60):
        blocking = asyncio.create_task(get(one, 2, "?w=50"))
        _, writer = await send(one, 1, "?w=77")
        await until_equal(one, QUEUED, 1)
        waiting = [asyncio.create_task(get(other, 1, "?w=77")) for _ in range(3)]
        await asyncio.sleep(0.2)
        assert not any(each.done() for each in waiting)
        writer.transport.abort()
        assert [(await each).status for each in waiting] == [200] * 3
        assert await metric(one, RENDERS) == 6
    assert (await blocking).status == 200
    assert await metric(other, RENDERS) == 1


async def test_clients_that_share_an_order_get_it_when_the_first_one_leaves(serve: Serve, get: Get) -> None:
    client = await serve()
    async with busy_renderer(client):
        _, writer = await send(client, 1, "?w=77")
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(get(client, 1, "?w=77")) for _ in range(3)]
        others += [asyncio.create_task(get(client, 1, "?w=77&fit=contain")) for _ in range(3)]
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await until_equal(client, ABANDONED, 1)
    assert [(await each).status for each in others] == [200] * 6
    assert await metric(client, RENDERS) == 6 + 1


async def test_first_render_of_a_large_original_has_the_clients_that_wait_for_its_mezzanine(
    serve: Serve, get: Get, people: Path
) -> None:
    (people / "6.jpg").write_bytes(saved(quarters(2400, 1800), "JPEG"))
    client = await serve()
    async with busy_renderer(client):
        _, writer = await send(client, 6, "?w=77")
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(get(client, 6, f"?w={78 + at}")) for at in range(3)]
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await until_equal(client, ABANDONED, 1)
    assert [(await each).status for each in others] == [200] * 3


@pytest.fixture
def service(people: Path) -> Iterator[Service]:
    with running("--images", people, CONTACT_IMAGE_RENDER__WORKERS="1", CONTACT_IMAGE_LOG__LEVEL="DEBUG") as started:
        started.with_renderers(1)
        yield started


def metric_of(service: Service, name: str) -> float:
    lines = service.get("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_service_notices_clients_that_leave_and_answers_half_closed_ones(service: Service) -> None:
    """The service has another event loop than the tests."""

    def ask(query: str) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", service.port), timeout=60)
        line.sendall(f"GET {IMAGE.format(1)}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return line

    with ask("?w=20") as half_closed:
        half_closed.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: half_closed.recv(1 << 16), b"")).startswith(b"HTTP/1.1 200 ")
    with service.frozen_renderers():
        for at in range(10):
            leaving = ask(f"?w={30 + at}")
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            time.sleep(0.015)
            leaving.close()
        block_until(lambda: metric_of(service, ABANDONED) == 10, 60, "all have left")
    assert service.get(f"{IMAGE.format(1)}?w=50").status == 200
    assert service.renders_started <= 1 + 1 + 1
    assert service.logged.count('"request.abandoned"') == 10


def test_clients_that_leave_within_a_large_answer_or_an_upload_cause_no_error(people: Path) -> None:
    """The service has another event loop than the tests."""
    noise = Image.frombytes("RGB", (1500, 1400), random.Random(1).randbytes(3 * 1500 * 1400))
    (people / "9.jpg").write_bytes(saved(noise, "JPEG", quality=95))
    rest = " HTTP/1.1\r\nHost: localhost\r\nAccept: image/png\r\n\r\n"  # more bytes than the system takes at once
    upload = "Content-Type: image/jpeg\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    requests = [
        f"GET {IMAGE.format(9)}?w=1450&h=1350{rest}",
        f"GET {IMAGE.format(9)}?w=1450&h=1350&q=1{rest}",
        f"PUT {IMAGE.format(8)}{rest[:-2]}{upload}",
    ]
    with running("--images", people, CONTACT_IMAGE_WRITES__ENABLED="true") as service:
        assert len(service.get(f"{IMAGE.format(9)}?w=1450&h=1350", {"Accept": "image/png"}).body) > 5_000_000
        for at in range(60):
            with socket.socket() as line:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                line.connect(("127.0.0.1", service.port))
                line.sendall(requests[at % 3].encode())
                time.sleep(0.005 * (at % 10))
        assert service.get(f"{IMAGE.format(9)}?w=20").status == 200
        assert service.errors == []
        failed = [each for each in service.get("/metrics").body.decode().splitlines() if 'status="500"' in each]
        assert failed == []
