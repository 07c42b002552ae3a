"""Answers with a header that was encoded before; only the fields that differ from request to request are added."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter

_REASONS = {200: "OK", 304: "Not Modified"}


def head(status: int, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the status line and *fields* as HTTP/1.1 sends them. `PrebuiltResponse` adds the rest."""
    lines = (f"HTTP/1.1 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in fields), "")
    return "\r\n".join(lines).encode()


def takes_prebuilt(request: web.BaseRequest) -> bool:
    """Return whether a prebuilt answer suits *request*: it is HTTP/1.1, and its connection is kept open."""
    return request.version == HttpVersion11 and request.keep_alive is True


class PrebuiltResponse(web.StreamResponse):
    """An answer with *status* 200 or 304, the first part of its header from `head`, and further *lines* with CRLF.

    An answer to HEAD has the length of *body*, but not the body; one with 304 has neither, and its *body* is empty.
    """

    def __init__(self, status: int, head: bytes, lines: str, body: bytes) -> None:
        super().__init__(status=status)
        self._head, self._lines, self._whole = head, lines, body
        self._written = False

    @property
    def length(self) -> int:
        """The length of the body in bytes."""
        return len(self._whole)

    @property
    def lines(self) -> dict[str, str]:
        """The fields in the further lines."""
        return dict(line.split(": ", 1) for line in self._lines.splitlines())

    def add_field(self, name: str, value: str) -> None:
        """Add a header field, before the answer is written."""
        self._lines += f"{name}: {value}\r\n"

    def sent(self, method: str) -> int:
        """Return the bytes of the body that are sent to a request with *method*."""
        return 0 if method == hdrs.METH_HEAD else len(self._whole)

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the whole answer at the first call. Raise `ConnectionResetError` if the connection is closed."""
        if self._written:
            return None
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._written = True
        self.write_whole(transport, request.method)
        return None

    def write_whole(self, transport: asyncio.WriteTransport, method: str) -> None:
        """Write the whole answer to a request with *method*."""
        length = f"Content-Length: {len(self._whole)}\r\n" if self.status == 200 else ""
        rest = f"{self._lines}{length}Date: {_date(int(time.time()))}\r\n\r\n".encode()
        if self.status == 200 and method != hdrs.METH_HEAD:
            transport.writelines((self._head, rest, self._whole))
        else:
            transport.write(self._head + rest)

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has written everything."""


@lru_cache(2)
def _date(now: int) -> str:
    """Return the value of `Date` (RFC 9110 section 6.6.1)."""
    return formatdate(now, usegmt=True)
