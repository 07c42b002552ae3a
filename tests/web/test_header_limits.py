"""Limits on the header of a request: its size, its number of fields, and the time to parse a value."""

from __future__ import annotations

import asyncio
import json
from unittest.mock import Mock

import pytest
from aiohttp.http import HttpRequestParser

from service.web.request_parser import MAX_FIELD, MAX_FIELDS, MAX_HEADER, RequestParser
from tests.conftest import Serve
from tests.web.conftest import Client
from tests.web.raw_http import CHUNKED, HOST, LAST, answers, parsed, request

pytestmark = pytest.mark.usefixtures("people")


def filled(size: int) -> bytes:
    """Return header fields that have *size* bytes together with `Host`."""
    count = 6
    length, more = divmod(size - len(HOST), count)
    sizes = [length + more, *[length] * (count - 1)]
    return b"".join(b"X-%d: " % number + b"a" * (each - 7) + b"\r\n" for number, each in enumerate(sizes))


def numbered(count: int) -> bytes:
    """Return header fields that are *count* together with `Host`."""
    return b"".join(b"X-%d: 1\r\n" % each for each in range(count - 1))


def one_field(size: int) -> bytes:
    """Return a header field with a value of *size* bytes."""
    return b"X-Long: " + b"a" * size + b"\r\n"


async def test_header_up_to_its_limits_is_read(serve: Serve) -> None:
    client = await serve()
    assert len(HOST + filled(MAX_HEADER)) == MAX_HEADER
    for fields in (filled(MAX_HEADER), numbered(MAX_FIELDS), one_field(MAX_FIELD)):
        found = await answers(client, request(fields=fields) * 2 + LAST)
        assert [each.status for each in found] == [200, 200, 200]


async def test_header_beyond_its_limits_is_431_and_the_last_on_its_connection(serve: Serve) -> None:
    client = await serve()
    for fields in (
        filled(MAX_HEADER + 1),
        filled(MAX_HEADER + 9_000),
        numbered(MAX_FIELDS + 1),
        numbered(2_000),
        one_field(MAX_FIELD + 1),
        one_field(20_000),
    ):
        (answer,) = await answers(client, request(fields=fields) + LAST)
        assert (answer.status, answer.is_problem) == (431, True), fields[:20]
        assert json.loads(answer.body)["title"] == "Header too large"
    assert [each.status for each in await answers(client, LAST)] == [200]


async def test_header_without_an_end_is_431_long_before_it_fills_the_memory(serve: Serve) -> None:
    client = await serve()
    sent = 0
    piece = b"X-Piece: " + b"a" * 4_085 + b"\r\n"
    reader, writer = await connection(client)
    writer.write(b"GET / HTTP/1.1\r\n" + HOST)
    async with asyncio.timeout(60):
        while not reader.at_eof() and sent < 1_000_000:
            writer.write(piece)
            sent += len(piece)
            await asyncio.sleep(0.01)
            if reader._buffer:  # type: ignore[attr-defined]  # the answer is there
                break
        (answer,) = parsed(await reader.read())
    writer.close()
    assert answer.status == 431
    assert sent < 65_536


async def test_limits_hold_for_each_of_several_requests_that_arrive_together(serve: Serve) -> None:
    client = await serve()
    small, large = request(b"/healthz"), request(b"/healthz", filled(MAX_HEADER + 1))
    found = await answers(client, small * 600 + LAST)  # 32 KiB and more, in requests that are small
    assert [each.status for each in found] == [200] * 601
    for sent in (large + small + LAST, small + large + LAST):
        found = await answers(client, sent)
        assert found[-1].status == 431
        assert len(found) <= 2


def test_body_that_arrives_with_its_header_is_no_part_of_it() -> None:
    parser = RequestParser(HttpRequestParser(Mock(), Mock(), 2**16, max_field_size=MAX_FIELD, max_headers=MAX_FIELDS))
    sent = request(method=b"PUT", fields=b"Content-Length: 200000\r\n") + b"x" * 200_000
    for _ in range(3):
        ((message, body),) = parser.feed_data(sent)[0]
        assert (message.method, body.total_bytes) == ("PUT", 200_000)
        parser.message_consumed()


async def test_body_is_no_part_of_the_header(serve: Serve) -> None:
    client = await serve(writes={"enabled": True})
    body = b"x" * 100_000
    length = b"Content-Length: %d\r\n" % len(body)
    found = await answers(client, request(fields=length, method=b"PUT") + body + request(fields=length) + body + LAST)
    assert [each.status for each in found] == [415, 200, 200]
    chunks = b"186a0\r\n" + body + b"\r\n0\r\n\r\n"
    found = await answers(client, (request(fields=CHUNKED, method=b"PUT") + chunks) * 2 + LAST)
    assert [each.status for each in found] == [415, 415, 200]


async def connection(client: Client) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    assert client.port is not None
    return await asyncio.open_connection("127.0.0.1", client.port)
