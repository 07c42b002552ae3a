"""Sending a picture: a small one whole, a large one in pieces, so that no slow reader holds a copy of all of it."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator

import structlog
from aiohttp import web
from multidict import CIMultiDict

from service.errors import PictureError
from service.pictures.values import PIECE, OriginalChanged, Picture, Pieces

log = structlog.get_logger()

_WHOLE = 131_072
"""Bytes of the largest body that is written at once. For a slow reader uvloop keeps a reference and copies nothing."""


def sent_whole(picture: Picture) -> bool:
    """Return whether *picture* is written at once."""
    return isinstance(picture.body, bytes) and picture.length <= _WHOLE


async def send(
    request: web.Request, headers: CIMultiDict[str], picture: Picture, *, status: int, json: bool, timeout: float
) -> web.StreamResponse:
    """Send *picture* in an answer to *request*; with *json*, as a JSON string in base64.

    The connection is closed if the client does not read the next piece within *timeout* seconds. A client costs the
    memory of one piece, and what the kernel buffers; cached bytes are shared.
    """
    length = 4 * ((picture.length + 2) // 3) + 2 if json else picture.length
    if isinstance(picture.body, bytes) and length <= _WHOLE:
        body = b'"%b"' % b64encode(picture.body) if json else picture.body
        return web.Response(status=status, body=body, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = length
    pieces = picture.body if isinstance(picture.body, AsyncGenerator) else _cut(picture.body or b"")
    transport = request.transport
    try:
        writer = await response.prepare(request)
        if request.method != "HEAD" and picture.body is not None and writer is not None:
            if transport is not None:
                transport.set_write_buffer_limits(high=0)  # a piece is sent before the next one is made
            async for piece in _quoted(pieces) if json else pieces:
                async with asyncio.timeout(timeout):
                    await response.write(piece)
                    if transport is None or transport.get_write_buffer_size():
                        await writer.drain()
        await response.write_eof()
    except (TimeoutError, ConnectionError, OriginalChanged, PictureError) as error:
        # `Content-Length` is sent already, so only a closed connection shows that the rest is missing.
        log.info("response.cut", reason=type(error).__name__)
        if transport is not None:
            transport.abort()
    finally:
        await pieces.aclose()
    return response


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
