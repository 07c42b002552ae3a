"""Answers whose header is bytes already: nothing is left to do but to write it, with the few fields that change."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

_REASONS = {200: "OK", 304: "Not Modified"}


def head(status: int, fields: CIMultiDict[str]) -> bytes:
    """The status line and *fields* as HTTP/1.1 sends them, all but what `PrebuiltResponse` adds."""
    lines = (f"HTTP/1.1 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in fields.items()), "")
    return "\r\n".join(lines).encode()


def takes_prebuilt(request: web.BaseRequest) -> bool:
    """Whether *request* can be answered so: by HTTP/1.1, on a connection that is kept."""
    return request.version == HttpVersion11 and request.keep_alive is True


class PrebuiltResponse(web.StreamResponse):
    """*status* is 200 or 304, *begun* begins as `head` tells, *fields* are further ones, each line with its end.

    HEAD is told the length of *body* and gets none of it; 304 has none.
    """

    def __init__(self, status: int, begun: bytes, fields: str, body: bytes) -> None:
        super().__init__(status=status)
        self._begun, self._fields, self._whole = begun, fields, body

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write all of it. Raises ConnectionResetError where nobody is there any more."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        length = f"Content-Length: {len(self._whole)}\r\n" if self.status == 200 else ""
        rest = f"{self._fields}{length}Date: {_date(int(time.time()))}\r\n\r\n".encode()
        if self.status == 200 and request.method != hdrs.METH_HEAD:
            transport.writelines((self._begun, rest, self._whole))
        else:
            transport.write(self._begun + rest)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """There is nothing more."""


@lru_cache(2)
def _date(now: int) -> str:
    """RFC 9110 section 6.6.1."""
    return formatdate(now, usegmt=True)
