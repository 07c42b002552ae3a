"""Requests as bytes, which HTTP clients would not send, and the answers to them."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

from aiohttp.test_utils import TestClient

PICTURE = b"/api/v1/Contact/1/Image?w=20"
HOST = b"Host: pictures.example\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: pictures.example\r\nConnection: close\r\n\r\n"
"""A request after which the server closes the connection, so that there are no further answers."""
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@dataclass(frozen=True)
class Answer:
    """A parsed response, with header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_problem(self) -> bool:
        return self.headers.get("content-type") == "application/problem+json" and "status" in json.loads(self.body)


def request(target: bytes = PICTURE, fields: bytes = b"", *, method: bytes = b"GET", host: bytes = HOST) -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + host + fields + b"\r\n"


async def answers(client: TestClient[Any, Any], sent: bytes) -> list[Answer]:
    """Return every answer to *sent* until the server closes the connection. An answer to HEAD has no body."""
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        async with asyncio.timeout(60):
            writer.write(sent)
            received = await reader.read()
    except ConnectionResetError:
        received = b""
    finally:
        writer.close()
    return parsed(received, bodies=not sent.startswith(b"HEAD "))


def parsed(received: bytes, *, bodies: bool = True) -> list[Answer]:
    """Return the answers in *received*, with their *bodies* if it has them."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/[0-9]\.[0-9] ([0-9]{3}) .*", first)
        assert match is not None, first
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0)) if bodies else 0
        found.append(Answer(int(match[1]), headers, received[:length]))
        received = received[length:]
    return found
