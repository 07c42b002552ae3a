"""HTTP/1.1 clients over persistent connections. Each sends its next request when it has its whole answer.

They can send an exact number of requests, each of them once, or a thousand at once, and check each answer. An answer
with a body has `Content-Length`; chunked bodies are not read.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r", re.IGNORECASE)
_TIMEOUT = 60.0
"""Seconds to wait for the connections."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, its header as bytes, its body, and the seconds since its request."""

    status: int
    header: bytes
    body: bytes
    took: float


def request(method: str, target: str, fields: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request as bytes."""
    length = {"Content-Length": str(len(body))} if body else {}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in {**fields, **length}.items()), "", ""]
    return "\r\n".join(lines).encode() + body


class Client(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # the class of uvloop's is another
        self._buffer, self._whole, self._status = bytearray(), 0, 0
        # Before the first request a service may send an answer, for example 408, and close the connection.
        self._requests: Iterator[bytes] = iter(())
        self._receive: Callable[[Answer], None] = lambda answer: None
        self._bodiless, self._begun = False, time.perf_counter()
        self._finished = asyncio.get_running_loop().create_future()
        self._finished.set_result(None)

    def converse(self, requests: Iterator[bytes], receive: Callable[[Answer], None]) -> asyncio.Future[None]:
        """Send *requests*, which other clients may share, one after another. The future is done when none is left."""
        self._requests, self._receive = requests, receive
        self._finished = asyncio.get_running_loop().create_future()
        self._send_next()
        return self._finished

    @property
    def closed(self) -> bool:
        """Whether one side has closed the connection."""
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole and not self._header_read():
            return
        if len(self._buffer) < self._whole:
            return
        body = bytes(memoryview(self._buffer)[self._body_at : self._whole])
        answer = Answer(self._status, bytes(self._buffer[: self._body_at]), body, time.perf_counter() - self._begun)
        self._buffer, self._whole = bytearray(), 0
        if answer.header.startswith(b"HTTP/1.0") or _CLOSES.search(answer.header):
            self._transport.close()  # a request that follows would be lost
        try:
            self._receive(answer)
            self._send_next()
        except Exception as error:  # the event loop would only log it
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError(f"the connection was closed{f': {exc}' if exc else ''}"))

    def _send_next(self) -> None:
        sent = next(self._requests, None)
        if sent is None:
            if not self._finished.done():
                self._finished.set_result(None)
            return
        self._bodiless = sent.startswith(b"HEAD ")
        self._begun = time.perf_counter()
        self._transport.write(sent)

    def _header_read(self) -> bool:
        """Return whether the header is complete. Then `_whole` is the length of the answer."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._body_at, self._status = end + 4, int(self._buffer[9:12])
        length = _LENGTH.search(self._buffer, 0, end)
        bodiless = self._bodiless or self._status in (204, 304) or length is None
        self._whole = self._body_at + (0 if bodiless or length is None else int(length[1]))
        return True

    def _fail(self, error: Exception) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)


async def connected(
    host: str, port: int, count: int, tls: ssl.SSLContext | None = None, timeout: float = _TIMEOUT
) -> list[Client]:
    """Return *count* clients that are connected within *timeout* seconds. Raise OSError or TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        made = await asyncio.gather(*(loop.create_connection(Client, host, port, ssl=tls) for _ in range(count)))
    return [client for _, client in made]
