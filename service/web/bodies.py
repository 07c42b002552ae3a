"""Reading of the picture in a request's body, raw or as the file of a form, within limits of size and time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import (
    BodyPartReader,
    HttpVersion11,
    MultipartReader,
    StreamReader,
    web,
)
from aiohttp.http_exceptions import HttpProcessingError

from service.errors import N_, BadParameter, UnsupportedUpload, UploadTimedOut, UploadTooLarge

Sink = Callable[[bytes], Awaitable[None]]
_Read = Callable[[], Awaitable[bytes | None]]

_PIECE = 65_536
"""Bytes that must arrive within the time limit, and that are passed to the sink together."""
_MAX_FORM_OVERHEAD = 65_536
"""Bytes that a form may have in addition to its file."""
_MAX_PARTS = 32
"""Parts of a form."""
_FILE_NAME = re.compile(
    r";[ \t]*filename(?:\*[0-9*]*[ \t]*=[^;'\"]*'[^;'\"]*'|[ \t]*=[ \t]*)\"?([^;\"]?)", re.IGNORECASE
)
"""`filename`, or `filename*` with its charset and language, and the first character of the value."""
_MISSING = N_("Image bitmap is missing from body.")
_BROKEN = N_("The body is cut short or malformed.")


async def receive(request: web.Request, sink: Sink, *, max_bytes: int, timeout: float) -> None:
    """Pass the picture in the body of *request* to *sink* in pieces. *timeout* is in seconds, for one piece.

    Raises:
        BadParameter: there is no picture, or more than one file, or the body is malformed or incomplete.
        UploadTooLarge: it has more than *max_bytes*. By `Content-Length` this is known before any of it is read.
        UnsupportedUpload: the body is encoded.
        UploadTimedOut: the client did not send the next piece in time.
    """
    # `request.content_type` uses the standard library's parser of mail: 8 KB of quotes take it seconds.
    media_type, _, parameters = request.headers.get("Content-Type", "").partition(";")
    form = media_type.strip(" \t").lower() == "multipart/form-data"
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedUpload(N_("An encoded body is not accepted."))
    if (request.content_length or 0) > max_bytes + (_MAX_FORM_OVERHEAD if form else 0):
        raise _too_large(max_bytes)
    try:
        await _continue(request)
        if form:
            size = await _form(request.content, parameters, sink, max_bytes, timeout)
        else:
            size = await _raw(request.content, sink, max_bytes, timeout)
    except TimeoutError:
        raise UploadTimedOut(N_("The upload stood still for too long.")) from None
    except (ValueError, AssertionError, ConnectionError, HttpProcessingError, web.RequestPayloadError) as error:
        raise BadParameter(_BROKEN) from error  # errors of aiohttp's readers, or the client is gone
    if not size:
        raise BadParameter(_MISSING)


async def _continue(request: web.Request) -> None:
    """Answer `Expect: 100-continue` (RFC 9110 section 10.1.1), since all but the body is checked."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the final answer has not begun


async def _raw(content: StreamReader, sink: Sink, max_bytes: int, timeout: float) -> int:
    async def read() -> bytes | None:
        return None if content.at_eof() else await content.readany()

    return await _copy(read, sink, max_bytes, timeout, _too_large(max_bytes))


async def _form(content: StreamReader, parameters: str, sink: Sink, max_bytes: int, timeout: float) -> int:
    """Pass the only file of a form to *sink*, and return its size in bytes. Other fields are ignored.

    *parameters* are those of its media type. Browsers send a part with neither bytes nor a file name for an input in
    which no file was chosen.
    """
    reader, size, overhead, files = _Parts(parameters, content), 0, 0, 0
    for _ in range(_MAX_PARTS):
        async with asyncio.timeout(timeout):
            part = await reader.next()
        if part is None:
            return size
        if isinstance(part, MultipartReader):
            break
        assert isinstance(part, _Part)
        if part.file_name is None and part.headers.get("Content-Type", "text/plain").lower().startswith("text/"):
            overhead += await _copy(
                _reader(part), _discard, _MAX_FORM_OVERHEAD - overhead, timeout, _too_large(max_bytes)
            )
            continue
        received = await _copy(
            _reader(part), _second_file if files else sink, max_bytes, timeout, _too_large(max_bytes)
        )
        if not received and not part.file_name:
            continue
        files += 1
        if files > 1:
            await _second_file(b"")
        size = received
    raise BadParameter(_BROKEN)


class _Part(BodyPartReader):
    """A part of a form."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"subtype": "form-data"})

    @property
    def file_name(self) -> str | None:
        """The beginning of the file name, empty if the name is; None if there is none.

        aiohttp's `filename` gives a warning for each malformed value, and Python keeps the text of every warning.
        """
        match = _FILE_NAME.search(self.headers.get("Content-Disposition", ""))
        return match and match[1]


class _Parts(MultipartReader):
    """The parts of a form in *content*, whose media type has *parameters*."""

    part_reader_cls = _Part
    multipart_reader_cls = MultipartReader  # of a part that has parts itself

    def __init__(self, parameters: str, content: StreamReader) -> None:
        # For `multipart/form-data` the reader looks into `Content-Disposition` of the first part for a charset.
        super().__init__({"Content-Type": f"multipart/mixed;{parameters}"}, _BoundedLines(content))


class _BoundedLines(StreamReader):
    """*content* whose lines have at most `_MAX_FORM_OVERHEAD` bytes together.

    A form's boundaries and headers are lines. Without the limit, line ends without a form keep the event loop busy.
    """

    def __init__(self, content: StreamReader) -> None:  # the state of a StreamReader is not needed
        self._content, self._left = content, _MAX_FORM_OVERHEAD

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        line = await self._content.readline(max_line_length=max_line_length)
        self._left -= len(line)
        if self._left < 0:
            raise ValueError("too many bytes outside of the file")
        return line

    async def read(self, n: int = -1) -> bytes:
        return await self._content.read(n)

    def at_eof(self) -> bool:
        return self._content.at_eof()

    def unread_data(self, data: bytes) -> None:
        self._content.unread_data(data)


def _reader(part: BodyPartReader) -> _Read:
    async def read() -> bytes | None:
        return None if part.at_eof() else await part.read_chunk(_PIECE)

    return read


async def _copy(read: _Read, sink: Sink, limit: int, timeout: float, too_large: UploadTooLarge) -> int:
    """Pass all bytes of *read* to *sink*, and return their number. Raise *too_large* after more than *limit*."""
    size, more = 0, True
    while more:
        piece = bytearray()
        async with asyncio.timeout(timeout):
            while more and len(piece) < _PIECE:
                data = await read()
                more = data is not None
                piece += data or b""
        size += len(piece)
        if size > limit:
            raise too_large
        if piece:
            await sink(bytes(piece))
    return size


async def _discard(_: bytes) -> None:
    """Ignore bytes of a field that is not a file."""


async def _second_file(_: bytes) -> None:
    """Refuse a second file."""
    raise BadParameter(N_("The body holds more than one file."))


def _too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(N_("An upload may have %(limit)s bytes at most."), {"limit": max_bytes})
