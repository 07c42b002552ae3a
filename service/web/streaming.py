"""Sending the bodies of pictures: whole, or in pieces, so that slow readers hold a bounded number of bytes."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import suppress

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from service.errors import PictureError
from service.pictures.values import PIECE, OriginalChanged, Picture, Pieces

log = structlog.get_logger()

SMALL = 131_072
"""Bytes of the largest body that is written whole whatever else is unsent. uvloop keeps a reference and no copy."""


class BodySender:
    """Sends bodies to the clients of one process.

    While less than *unsent_bytes* of large bodies is unsent, cached bodies are written whole. Beyond that, they are
    written in pieces. A connection is closed when its client has read nothing for *timeout* seconds.
    """

    def __init__(self, unsent_bytes: int, timeout: float) -> None:
        self._limit, self._timeout = unsent_bytes, timeout
        self._unsent = 0

    def has_room(self, length: int) -> bool:
        """Return whether a body of *length* bytes may be written whole."""
        return length <= SMALL or self._unsent + length <= self._limit

    async def send(
        self, request: web.Request, headers: CIMultiDict[str], picture: Picture, *, status: int, json: bool
    ) -> web.StreamResponse:
        """Send *picture* in an answer to *request*; with *json*, as a JSON string in base64."""
        length = 4 * ((picture.length + 2) // 3) + 2 if json else picture.length
        body = picture.body
        if isinstance(body, bytes) and length <= SMALL:
            return web.Response(status=status, body=b'"%b"' % b64encode(body) if json else body, headers=headers)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = length
        pieces = body if isinstance(body, AsyncGenerator) else _cut(body or b"")
        transport = request.transport
        try:
            writer = await response.prepare(request)
            if request.method != "HEAD" and body is not None and writer is not None and transport is not None:
                writer.send_headers()
                if not isinstance(body, AsyncGenerator) and not json and self.has_room(length):
                    transport.writelines((body,))  # uvloop sends what the kernel takes, and refers to the rest
                    await self.wait_sent(transport, writer, length)
                else:
                    await self._write_pieces(transport, writer, _quoted(pieces) if json else pieces)
            await response.write_eof()
        except (TimeoutError, ConnectionError, OriginalChanged, PictureError) as error:
            # `Content-Length` is sent already, so only a closed connection shows that the rest is missing.
            log.info("response.cut", reason=type(error).__name__)
            if transport is not None:
                transport.abort()
        finally:
            await pieces.aclose()
        return response

    async def wait_sent(self, transport: asyncio.WriteTransport, writer: AbstractStreamWriter, length: int) -> None:
        """Wait until nothing is unsent of what was written: a body of *length* bytes in one piece.

        Raise TimeoutError when the client has read nothing for some time, and ConnectionError when it has left.
        """
        if transport.get_write_buffer_size():
            self._unsent += length
            try:
                await self._drain(transport, writer)
            finally:
                self._unsent -= length

    async def _write_pieces(
        self, transport: asyncio.WriteTransport, writer: AbstractStreamWriter, pieces: Pieces
    ) -> None:
        async for piece in pieces:
            if transport.is_closing():
                raise ConnectionResetError("the client is gone")
            transport.write(piece)
            await self._drain(transport, writer)

    async def _drain(self, transport: asyncio.WriteTransport, writer: AbstractStreamWriter) -> None:
        """Wait until nothing is unsent. Raise as `wait_sent`."""
        left = transport.get_write_buffer_size()
        if not left:
            return
        transport.set_write_buffer_limits(high=0)  # `drain` then waits for the last byte
        try:
            while left:
                with suppress(TimeoutError):  # the client may have read a part
                    async with asyncio.timeout(self._timeout):
                        await writer.drain()
                before, left = left, transport.get_write_buffer_size()
                if left >= before:
                    raise TimeoutError
        finally:
            if not transport.is_closing():  # uvloop raises RuntimeError once the connection is closed
                transport.set_write_buffer_limits()


async def _cut(body: bytes | memoryview) -> Pieces:
    view = memoryview(body)
    for at in range(0, len(view), PIECE):
        yield view[at : at + PIECE]


async def _quoted(pieces: Pieces) -> AsyncGenerator[bytes, None]:
    """Yield *pieces* in base64 as one JSON string. `PIECE` is divisible by three, so only the last one is padded."""
    yield b'"'
    async for piece in pieces:
        yield b64encode(piece)
    yield b'"'
