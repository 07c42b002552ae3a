"""Clients in this process, over kept connections: each asks again once its answer is whole. For what `wrk` cannot do:
to ask an exact number of times, everything once, or a thousand at the same instant, and to look at each answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from tools.bench.processes import HOST

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_PATIENCE = 60.0
"""Seconds in which a connection must be there, and in which something must be heard."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, its status line and fields as they came, its body, and the seconds since it was asked."""

    status: int
    header: bytes
    body: bytes
    took: float


def request(path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> bytes:
    """The bytes of a request."""
    fields = {"Host": HOST, **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items()), "", ""]
    return "\r\n".join(lines).encode()


class Client(asyncio.Protocol):
    """One connection."""

    _requests: Iterator[bytes]
    _heard: Callable[[Answer], None]
    _done: asyncio.Future[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._buffer, self._whole, self._status = bytearray(), 0, 0

    def converse(self, requests: Iterator[bytes], heard: Callable[[Answer], None]) -> asyncio.Future[None]:
        """Ask for one of *requests* after another, which may be shared with others; done when none is left."""
        self._requests, self._heard = requests, heard
        self._done = asyncio.get_running_loop().create_future()
        self._ask()
        return self._done

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
            self._heard(answer)
            self._ask()
        except Exception as error:  # of who listens: it ends the conversation, where the loop would only log it
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_done"):
            self._fail(ConnectionError(f"the connection was closed: {exc}"))

    def _ask(self) -> None:
        asked = next(self._requests, None)
        if asked is None:
            if not self._done.done():
                self._done.set_result(None)
            return
        self._bodiless = asked.startswith(b"HEAD ")
        self._begun = time.perf_counter()
        self._transport.write(asked)

    def _header_read(self) -> bool:
        """Whether the header is there; if so, it is known how much there is to come."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._body_at, self._status = end + 4, int(self._buffer[9:12])
        told = _LENGTH.search(self._buffer, 0, end)
        bodiless = self._bodiless or self._status in (204, 304) or told is None
        self._whole = self._body_at + (0 if bodiless or told is None else int(told[1]))
        return True

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)


async def connected(port: int, count: int) -> list[Client]:
    """*count* connections to *port*."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_PATIENCE):
        made = await asyncio.gather(*(loop.create_connection(Client, HOST, port) for _ in range(count)))
    return [client for _, client in made]


async def converse(clients: list[Client], requests: Iterator[bytes], heard: Callable[[Answer], None]) -> None:
    """Let *clients* share *requests*, each asking as soon as its last answer is whole, and tell *heard* each answer."""
    await asyncio.gather(*(client.converse(requests, heard) for client in clients))


def succeeded(answer: Answer) -> None:
    """Raises what ends the benchmark when an answer is no success."""
    if answer.status not in (200, 304):
        raise RuntimeError(f"a request failed: {answer.header.decode('latin-1')}")
