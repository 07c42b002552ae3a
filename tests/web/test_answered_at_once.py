"""Hits on a connection that has been answered before are answered without a task of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import TestClient

from service.web.keys import CACHE
from service.web.repeats import Repeats
from tests.conftest import Serve
from tests.web.conftest import Get
from tests.web.test_coalescing import metric

pytestmark = pytest.mark.usefixtures("people")

HIT = b"/api/v1/Contact/1/Image?w=40"


class Raw:
    """A connection, over which requests are sent as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, target: bytes = HIT, fields: bytes = b"", *, method: bytes = b"GET") -> tuple[str, bytes]:
        self.writer.write(method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n")
        return await self.answer(has_body=method == b"GET")

    async def answer(self, *, has_body: bool = True) -> tuple[str, bytes]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0) if has_body else 0
        return head, await asyncio.wait_for(self.reader.readexactly(length), 60)


@pytest.fixture(params=[{}, {"memory_bytes": 0}], ids=["memory", "redis"])
async def client(serve: Serve, request: pytest.FixtureRequest) -> TestClient[Any, Any]:
    return await serve(cache=request.param)


@pytest.fixture
async def raw(client: TestClient[Any, Any]) -> AsyncIterator[Raw]:
    """A connection over which a picture was asked for until it is a repeat."""
    connection = Raw(*await asyncio.open_connection(client.host, client.port))
    for _ in range(4):
        await connection.ask(fields=b"Accept: */*\r\n")
        await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)  # aiohttp waits for the next request
    yield connection
    connection.writer.close()


async def test_hit_makes_no_task_and_is_counted(client: TestClient[Any, Any], raw: Raw) -> None:
    series = 'contact_image_requests_total{method="GET",route="image",status="200"}'
    expected, before, made = await raw.ask(fields=b"Accept: */*\r\n"), await metric(client, series), 0

    def task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += "RequestHandler" in coroutine.__qualname__
        return asyncio.Task(coroutine, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(task)
    try:
        bodies = {(await raw.ask(fields=b"Accept: */*\r\n"))[1] for _ in range(5)}
    finally:
        loop.set_task_factory(None)
    assert bodies == {expected[1]}
    assert made == 0
    assert await metric(client, series) == before + 5


async def test_other_requests_follow_a_hit_on_its_connection(client: TestClient[Any, Any], raw: Raw, get: Get) -> None:
    full = await get(client, 1, "?w=40", Accept="*/*")
    etag = full.headers["ETag"].lower()
    for _ in range(3):
        head, body = await raw.ask(fields=b"Accept: */*\r\n")
        assert f"etag: {etag}" in head and body == await full.read()
        head, body = await raw.ask(fields=b"Accept: */*\r\nIf-None-Match: " + etag.encode() + b"\r\n")
        assert head.startswith("http/1.1 304 ") and body == b""
        head, _ = await raw.ask(fields=b"Accept: */*\r\n", method=b"HEAD")
        assert f"etag: {etag}" in head
        head, _ = await raw.ask(b"/api/v1/Contact/999/Image")
        assert head.startswith("http/1.1 404 ")
        head, _ = await raw.ask(fields=b"Accept: image/png\r\nAccept: image/webp;q=0.1\r\n")
        assert "content-type: image/png" in head


async def test_second_line_of_accept_counts(raw: Raw) -> None:
    for _ in range(4):
        await raw.ask(fields=b"Accept: image/webp;q=0.1\r\n")
    head, _ = await raw.ask(fields=b"Accept: image/webp;q=0.1\r\nAccept: image/png\r\n")
    assert "content-type: image/png" in head


async def test_malformed_host_of_a_repeat_is_400(raw: Raw) -> None:
    raw.writer.write(b"GET " + HIT + b" HTTP/1.1\r\nHost: a/b\r\nAccept: */*\r\n\r\n")
    head, _ = await raw.answer()
    assert head.startswith("http/1.1 400 ")
    assert await asyncio.wait_for(raw.reader.read(), 60) == b""


async def test_hit_in_pieces_and_pipelined_hits_are_answered_in_order(raw: Raw) -> None:
    whole = b"GET " + HIT + b" HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    raw.writer.write(whole[:30])
    await asyncio.sleep(0.01)
    raw.writer.write(whole[30:] + whole + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + whole)
    bodies = [(await raw.answer())[1] for _ in range(4)]
    assert bodies[0] == bodies[1] == bodies[3] != bodies[2]


async def test_half_closed_connection_gets_its_hit_and_is_closed(raw: Raw) -> None:
    expected = await raw.ask(fields=b"Accept: */*\r\n")
    raw.writer.write(b"GET " + HIT + b" HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
    raw.writer.write_eof()
    assert (await raw.answer())[1] == expected[1]
    assert await asyncio.wait_for(raw.reader.read(), 60) == b""


async def test_purged_picture_is_no_hit(client: TestClient[Any, Any], raw: Raw) -> None:
    assert await client.server.app[CACHE].purge(1)  # type: ignore[attr-defined]
    head, _ = await raw.ask(fields=b"Accept: */*\r\n")
    assert "cache-status: contact-image; fwd=miss" in head


@pytest.mark.parametrize("broken", [1, 2], ids=["once", "twice"])
async def test_fault_of_this_way_is_logged_and_the_ordinary_way_answers(
    raw: Raw, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    expected = await raw.ask(fields=b"Accept: */*\r\n")
    answer, calls = Repeats.answer, iter(range(100))

    def fail(*arguments: Any) -> Any:
        if next(calls) < broken:
            raise ZeroDivisionError
        return answer(*arguments)

    monkeypatch.setattr(Repeats, "answer", fail)
    with structlog.testing.capture_logs() as lines:
        head, body = await raw.ask(fields=b"Accept: */*\r\n")
    assert [line["event"] for line in lines] == ["request.failed"] * broken
    assert all(line["exc_info"] for line in lines)
    if broken == 1:
        assert body == expected[1]
    else:
        assert head.startswith("http/1.1 500 ")


async def test_hits_keep_their_connection_open(serve: Serve) -> None:
    client = await serve(server={"keepalive_timeout": 2})
    raw = Raw(*await asyncio.open_connection(client.host, client.port))
    for _ in range(12):  # for longer than the time-out, from its first answer on
        assert (await raw.ask(fields=b"Accept: */*\r\n"))[0].startswith("http/1.1 200 ")
        await asyncio.sleep(0.25)
    raw.writer.close()
