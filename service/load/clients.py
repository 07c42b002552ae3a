"""HTTP/1.1 clients over persistent connections. Each sends its next request when it has its whole answer.

They can send an exact number of requests, each of them once, or a thousand at once, and check each answer. An answer
with a body has to have `Content-Length`. What a client keeps of an answer is bounded.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,15}) *\r", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r", re.IGNORECASE)
_TIMEOUT = 60.0
"""Seconds to wait for the connections."""
_LONGEST_HEADER = 65_536
"""Bytes of a header at most."""
_LONGEST_BODY = 1 << 28
"""Bytes of a body that is kept, at most, by default."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, its header as bytes, its body if that is kept, and the seconds since its request.

    *size* is the number of bytes of the body.
    """

    status: int
    header: bytes
    body: bytes
    took: float
    size: int


def request(method: str, target: str, fields: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request as bytes."""
    length = {"Content-Length": str(len(body))} if body else {}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in {**fields, **length}.items()), "", ""]
    return "\r\n".join(lines).encode() + body


class Client(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # the class of uvloop's is another
        self._buffer, self._header, self._status, self._length, self._dropped = bytearray(), b"", 0, 0, 0
        # Before the first request a service may send an answer, for example 408, and close the connection.
        self._requests: Iterator[bytes] = iter(())
        self._receive: Callable[[Answer], None] = lambda answer: None
        self._bodiless, self._longest_body, self._begun = False, 0, time.perf_counter()
        self._finished = asyncio.get_running_loop().create_future()
        self._finished.set_result(None)

    def converse(
        self, requests: Iterator[bytes], receive: Callable[[Answer], None], *, longest_body: int = _LONGEST_BODY
    ) -> asyncio.Future[None]:
        """Send *requests*, which other clients may share, one after another. The future is done when none is left.

        Answers have bodies of *longest_body* bytes at most, and with 0 none.
        """
        self._requests, self._receive, self._longest_body = requests, receive, longest_body
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
        try:
            if not self._header and not self._header_read():
                return
        except ValueError as error:
            self._fail(ConnectionError(str(error)))
            self._transport.abort()
            return
        received = self._dropped + len(self._buffer)
        if received < self._length:
            if not self._longest_body:
                self._dropped = received
                self._buffer.clear()
            return
        body = bytes(memoryview(self._buffer)[: self._length]) if self._longest_body else b""
        answer = Answer(self._status, self._header, body, time.perf_counter() - self._begun, self._length)
        self._buffer, self._header, self._dropped = bytearray(), b"", 0
        # A request that follows would be lost, or get what was sent without one.
        if received > self._length or answer.header.startswith(b"HTTP/1.0") or _CLOSES.search(answer.header):
            self._transport.close()
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
        """Return whether the header is complete, and take it from the buffer. Raise ValueError for what is none."""
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            header = bytes(memoryview(self._buffer)[: end + 4])
            del self._buffer[: end + 4]
            if (status := _STATUS.match(header)) is None:
                raise ValueError("the answer is not HTTP/1.1")
            self._status = int(status[1])
            if 100 <= self._status < 200 and self._status != 101:
                continue  # an interim response
            length = _LENGTH.search(header)
            if self._bodiless or self._status in (204, 304):
                self._length = 0
            elif length is None:
                raise ValueError("the answer has no Content-Length")
            else:
                self._length = int(length[1])
            if self._longest_body and self._length > self._longest_body:
                raise ValueError(f"the answer has more than {self._longest_body:,} bytes")
            self._header = header
            return True
        if len(self._buffer) > _LONGEST_HEADER:
            raise ValueError(f"the header of the answer has more than {_LONGEST_HEADER:,} bytes")
        return False

    def _fail(self, error: Exception) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)


async def connected(
    address: str, port: int, count: int, tls: ssl.SSLContext | None = None, name: str | None = None,
    timeout: float = _TIMEOUT,
) -> list[Client]:  # fmt: skip
    """Return *count* clients that are connected within *timeout* seconds. Raise OSError or TimeoutError.

    *name* is the host that the certificate of TLS has to name.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        made = await asyncio.gather(
            *(loop.create_connection(Client, address, port, ssl=tls, server_hostname=name) for _ in range(count))
        )
    return [client for _, client in made]
