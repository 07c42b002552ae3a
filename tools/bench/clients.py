"""HTTP clients over persistent connections. Each sends its next request when it has its whole answer.

Unlike `wrk` they can send an exact number of requests, each of them once, or a thousand at once, and check each answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from tools.bench.processes import HOST

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_TIMEOUT = 60.0
"""Seconds to wait for the connections."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, its header as bytes, its body, and the seconds since its request."""

    status: int
    header: bytes
    body: bytes
    took: float


def request(path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> bytes:
    """Return a request as bytes."""
    fields = {"Host": HOST, **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items()), "", ""]
    return "\r\n".join(lines).encode()


class Client(asyncio.Protocol):
    """One connection."""

    _requests: Iterator[bytes]
    _receive: Callable[[Answer], None]
    _done: asyncio.Future[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # the class of uvloop's is another
        self._buffer, self._whole, self._status = bytearray(), 0, 0

    def converse(self, requests: Iterator[bytes], receive: Callable[[Answer], None]) -> asyncio.Future[None]:
        """Send *requests*, which other clients may share, one after another. The future is done when none is left."""
        self._requests, self._receive = requests, receive
        self._done = asyncio.get_running_loop().create_future()
        self._send_next()
        return self._done

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
        try:
            self._receive(answer)
            self._send_next()
        except Exception as error:  # the event loop would only log it
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_done"):
            self._fail(ConnectionError(f"the connection was closed: {exc}"))

    def _send_next(self) -> None:
        sent = next(self._requests, None)
        if sent is None:
            if not self._done.done():
                self._done.set_result(None)
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
        if not self._done.done():
            self._done.set_exception(error)


async def connected(port: int, count: int) -> list[Client]:
    """Return *count* connected clients of *port*."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_TIMEOUT):
        made = await asyncio.gather(*(loop.create_connection(Client, HOST, port) for _ in range(count)))
    return [client for _, client in made]


async def converse(clients: list[Client], requests: Iterator[bytes], receive: Callable[[Answer], None]) -> None:
    """Let *clients* send *requests*, each the next one when it has its answer, and call *receive* with each answer."""
    await asyncio.gather(*(client.converse(requests, receive) for client in clients))


def succeeded(answer: Answer) -> None:
    """Raise RuntimeError, which ends the benchmark, when an answer is not a success."""
    if answer.status not in (200, 304):
        raise RuntimeError(f"a request failed: {answer.header.decode('latin-1')}")


async def request_all(port: int, paths: Iterable[str], headers: Mapping[str, str], count: int) -> None:
    """Request every path once over *count* connections, so that all are cached."""
    clients = await connected(port, count)
    await converse(clients, (request(path, headers) for path in paths), succeeded)
    for client in clients:
        client.close()
