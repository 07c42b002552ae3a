"""`Upgrade` is ignored (RFC 9110 section 7.8), and no answer on the connection is lost or taken for another one."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import Serve
from tests.web.conftest import Client
from tests.web.raw_http import CHUNKED, CLOSE, Answer, parsed, request

pytestmark = pytest.mark.usefixtures("people")

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: h2c\r\n"
"""The fields that Java's client sends with the first request of a connection, and `curl --http2` too."""
WEBSOCKET = (
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
OFFERS = pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
MISSING = b"/api/v1/Contact/404/Image"


async def conversation(client: Client, *sent: bytes) -> list[Answer]:
    """Send each text when the server has answered all before it, and return the answers until the connection ends.

    The server answers each text, apart from the last one, with one answer that has a length.
    """
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    found = b""
    async with asyncio.timeout(60):
        for text in sent[:-1]:
            writer.write(text)
            head = await reader.readuntil(b"\r\n\r\n")
            (answer,) = parsed(head, bodies=False)
            found += head + await reader.readexactly(int(answer.headers["content-length"]))
        writer.write(sent[-1])
        found += await reader.read()
    writer.close()
    return parsed(found)


@OFFERS
async def test_connection_with_upgrade_is_kept_and_each_request_gets_its_answer(serve: Serve, offer: bytes) -> None:
    client = await serve()
    first, repeated, health, missing = await conversation(
        client,
        request(fields=offer),
        request(fields=offer),  # answered on the fast path
        request(b"/healthz", offer),
        request(MISSING, CLOSE),
    )
    assert (first.status, repeated.status, health.status, missing.status) == (200, 200, 200, 404)
    assert first.body == repeated.body != b""
    assert "connection" not in first.headers
    assert health.headers["content-type"].startswith("application/json")


@OFFERS
async def test_connection_is_closed_if_bytes_follow_a_request_with_upgrade(serve: Serve, offer: bytes) -> None:
    client = await serve()
    (warm,) = await conversation(client, request(fields=CLOSE))
    for sent in (
        request(fields=offer) + request(MISSING) + request(b"/healthz", CLOSE),
        request(fields=offer) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        request(fields=offer) + b"\x00\x01",
    ):
        (answer,) = await conversation(client, sent)
        assert (answer.status, answer.body, answer.headers["connection"]) == (200, warm.body, "close")


@OFFERS
async def test_pieces_of_a_request_with_upgrade_are_no_bytes_that_follow(serve: Serve, offer: bytes) -> None:
    client = await serve()
    whole = request(fields=offer)
    assert client.port is not None
    for cut in (1, 2, 3, 20):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(whole[:-cut])
        await asyncio.sleep(0.05)  # the pieces must not arrive together
        writer.write(whole[-cut:])
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" not in head.lower(), cut
        writer.close()


@OFFERS
async def test_request_behind_a_header_that_ends_in_its_piece_is_not_lost_unseen(serve: Serve, offer: bytes) -> None:
    client = await serve()
    whole = request(fields=offer)
    assert client.port is not None
    for cut in (1, 2, 3):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(whole[:-cut])
        await asyncio.sleep(0.05)
        writer.write(whole[-cut:] + request(MISSING))
        async with asyncio.timeout(60):
            (answer,) = parsed(await reader.read())
        assert (answer.status, answer.headers["connection"]) == (200, "close"), cut
        writer.close()


@OFFERS
async def test_body_of_a_request_with_upgrade_is_read_and_the_connection_is_closed(serve: Serve, offer: bytes) -> None:
    client = await serve(writes={"enabled": True})
    for fields, body in (
        (b"Content-Length: 4\r\n", b"text"),
        (CHUNKED, b"4\r\ntext\r\n0\r\n\r\n"),
    ):
        for rest in (b"", request(b"/healthz")):
            (answer,) = await conversation(client, request(fields=offer + fields, method=b"PUT") + body + rest)
            assert (answer.status, answer.headers["connection"]) == (415, "close")


async def test_upgrade_without_connection_is_any_field(serve: Serve) -> None:
    client = await serve()
    sent = request(fields=b"Upgrade: h2c\r\n") + request(b"/healthz") + request(MISSING, CLOSE)
    assert [answer.status for answer in await conversation(client, sent)] == [200, 200, 404]
