"""The picture in a request's body, raw or as the file of a form: in pieces, within bounds of size and of time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import BodyPartReader, HttpVersion11, MultipartReader, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from service.errors import N_, BadParameter, UnsupportedUpload, UploadTimedOut, UploadTooLarge

Sink = Callable[[bytes], Awaitable[None]]
_Read = Callable[[], Awaitable[bytes | None]]

_PIECE = 65_536
"""Bytes that must come within the time limit, and are handed on together."""
_BESIDE = 65_536
"""Bytes that a form may have beside its file."""
_MAX_PARTS = 32
_MISSING = N_("Image bitmap is missing from body.")
_BROKEN = N_("The body is cut short or malformed.")


async def receive(request: web.Request, sink: Sink, *, max_bytes: int, timeout: float) -> None:
    """Hand the picture in the body of *request* to *sink*, piece by piece. *timeout* is in seconds for each piece.

    Raises:
        BadParameter: there is no picture, or more than one file, or the body is malformed or cut short.
        UploadTooLarge: it has more than *max_bytes*; where the request says so, before any of it is read.
        UnsupportedUpload: the body is encoded.
        UploadTimedOut: the client did not send the next piece in time.
    """
    form = request.content_type == "multipart/form-data"
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedUpload(N_("An encoded body is not accepted."))
    if (request.content_length or 0) > max_bytes + (_BESIDE if form else 0):
        raise _too_large(max_bytes)
    await _ask_for_it(request)
    try:
        size = await (_form(request, sink, max_bytes, timeout) if form else _raw(request, sink, max_bytes, timeout))
    except TimeoutError:
        raise UploadTimedOut(N_("The upload stood still for too long.")) from None
    except (ValueError, AssertionError, ConnectionError, HttpProcessingError, web.RequestPayloadError) as error:
        raise BadParameter(_BROKEN) from error  # what aiohttp's readers raise, and a client that is gone
    if not size:
        raise BadParameter(_MISSING)


async def _ask_for_it(request: web.Request) -> None:
    """Answer `Expect: 100-continue`, RFC 9110 §10.1.1, now that nothing but the body can be wrong."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer proper has not begun


async def _raw(request: web.Request, sink: Sink, max_bytes: int, timeout: float) -> int:
    content = request.content

    async def read() -> bytes | None:
        return None if content.at_eof() else await content.readany()

    return await _pass_on(read, sink, max_bytes, timeout, _too_large(max_bytes))


async def _form(request: web.Request, sink: Sink, max_bytes: int, timeout: float) -> int:
    """The one file of a form; its other fields say nothing to us.

    A part with neither bytes nor a file's name is what browsers send for an input in which no file was chosen.
    """
    reader, size, beside, files = MultipartReader(request.headers, _Frugal(request.content)), 0, 0, 0
    for _ in range(_MAX_PARTS):
        async with asyncio.timeout(timeout):
            part = await reader.next()
        if part is None:
            return size
        if isinstance(part, MultipartReader):
            break
        if part.filename is None and part.headers.get("Content-Type", "text/plain").lower().startswith("text/"):
            beside += await _pass_on(_reading(part), _nowhere, _BESIDE - beside, timeout, _too_large(max_bytes))
            continue
        received = await _pass_on(
            _reading(part), _one_too_many if files else sink, max_bytes, timeout, _too_large(max_bytes)
        )
        if not received and not part.filename:
            continue
        files += 1
        if files > 1:
            await _one_too_many(b"")
        size = received
    raise BadParameter(_BROKEN)


class _Frugal(StreamReader):
    """*content* with lines of `_BESIDE` bytes in all: a form's lines are its frame, and who sends nothing but line ends
    in front of it keeps the event loop busy."""

    def __init__(self, content: StreamReader) -> None:  # no state of a StreamReader's own is wanted
        self._content, self._left = content, _BESIDE

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        line = await self._content.readline(max_line_length=max_line_length)
        self._left -= len(line)
        if self._left < 0:
            raise ValueError("too much beside the file")
        return line

    async def read(self, n: int = -1) -> bytes:
        return await self._content.read(n)

    def at_eof(self) -> bool:
        return self._content.at_eof()

    def unread_data(self, data: bytes) -> None:
        self._content.unread_data(data)


def _reading(part: BodyPartReader) -> _Read:
    async def read() -> bytes | None:
        return None if part.at_eof() else await part.read_chunk(_PIECE)

    return read


async def _pass_on(read: _Read, sink: Sink, most: int, timeout: float, too_large: UploadTooLarge) -> int:
    """Everything that *read* gives goes to *sink*; how many bytes that were."""
    size, more = 0, True
    while more:
        piece = bytearray()
        async with asyncio.timeout(timeout):
            while more and len(piece) < _PIECE:
                data = await read()
                more = data is not None
                piece += data or b""
        size += len(piece)
        if size > most:
            raise too_large
        if piece:
            await sink(bytes(piece))
    return size


async def _nowhere(_: bytes) -> None:
    """For what is not wanted."""


async def _one_too_many(_: bytes) -> None:
    """For a second file."""
    raise BadParameter(N_("The body holds more than one file."))


def _too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(N_("An upload may have %(limit)s bytes at most."), {"limit": max_bytes})
