"""Target: a whole request, from its first line to the upload in its body."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser

from service.access.schemes import Scheme
from service.errors import BadParameter, Forbidden, NotAuthenticated, UnsupportedUpload, UploadTooLarge
from service.web.bodies import receive
from service.web.cors import Cors
from service.web.credentials import CredentialReader, parse_credential
from service.web.cross_origin import refuse_foreign
from service.web.malformed import malformed
from service.web.request_values import field

_FIELDS = ("Accept", "If-None-Match", "Range", "Accept-Language", "SO-TimeZone")
_MOST = 2_000
"""Bytes of a file at most."""
_TIMEOUT = 60.0
"""Seconds for a piece. All of a body is there at once."""
_LOOP = asyncio.new_event_loop()
_READER = CredentialReader(tuple(Scheme), "session")
_CORS = Cors(["https://a.example"])


class _Protocol(BaseProtocol):
    ssl_context = peername = sockname = None


class _Writer:
    output_size = 0

    async def write(self, data: bytes) -> None:
        pass


def request(data: bytes) -> None:
    """Parse a request, to which its `Content-Length` is added, and receive its body."""
    line, _, rest = data.partition(b"\r\n")
    length = len(rest.partition(b"\r\n\r\n")[2])
    parser = HttpRequestParser(_Protocol(_LOOP), _LOOP, 65_536)
    try:
        messages, *_ = parser.feed_data(b"%b\r\nContent-Length: %d\r\n%b" % (line, length, rest))
    except HttpProcessingError:
        return
    for message, payload in messages:
        stub: Any = _Writer()
        made = web.BaseRequest(message, payload, _Protocol(_LOOP), stub, None, _LOOP)  # type: ignore[arg-type]
        if malformed(made):
            return
        _read_fields(made)
        if not payload.is_eof():
            payload.set_exception(ConnectionResetError())
        _LOOP.run_until_complete(_received(made))


def request_corpus() -> Iterator[bytes]:
    """Yield requests with credentials and conditions, and uploads: raw, in chunks, and as forms."""
    yield b"GET /api/v1/Contact/1/Image?w=3 HTTP/1.1\r\nHost: a\r\nAccept: image/webp\r\nIf-None-Match: *\r\n\r\n"
    yield b"GET /a HTTP/1.0\r\nAuthorization: Basic YTpi\r\nSO-AppToken: b\r\nRange: bytes=0-\r\n\r\n"
    yield b'GET http://a/ HTTP/1.1\r\nHost: a\r\nX-XSRF-TOKEN: b\r\nCookie: session="b"; XSRF-TOKEN=b; c\r\n\r\n'
    put = b"PUT /a HTTP/1.1\r\nHost: a:80\r\nOrigin: http://a:80\r\n"
    yield put + b"Sec-Fetch-Site: none\r\nContent-Type: image/png; a=b\r\n\r\n\x89PNG"
    yield put + b"Content-Encoding: gzip\r\nExpect: 100-continue\r\n\r\n\x1f\x8b"
    form = put + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    name = b'Content-Disposition: form-data; name="a"'
    file = name + b"; filename*=utf-8''%C3%A9.jpg\r\nContent-Type: image/jpeg"
    yield form + b"--b\r\n" + name + b"\r\n\r\nwords\r\n--b\r\n" + file + b"\r\n\r\n\xff\xd8\xff\r\n--b--\r\n"
    with_length = b"binary\r\nContent-Length: 2\r\n\r\n\xff\xd8"
    for coding in (b"base64\r\n\r\n/9j/", b"quoted-printable\r\n\r\n=ff=d8", with_length):
        yield form + b"--b\r\n" + file + b"\r\nContent-Transfer-Encoding: " + coding + b"\r\n--b--"
    inner = b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n1\r\n--c--\r\n--b--"
    yield form.replace(b"boundary=b", b'charset=utf-8; boundary="b"') + b"about\r\n" + inner


def _read_fields(made: web.BaseRequest) -> None:
    for name in _FIELDS:
        field(made, name)
    presented = _READER.presented(made)
    try:
        if presented is not None:
            parse_credential(presented)
        refuse_foreign(made.headers, _CORS, unauthenticated=True)
    except (Forbidden, NotAuthenticated):
        pass


async def _received(made: web.BaseRequest) -> None:
    size = 0

    async def sink(piece: bytes) -> None:
        nonlocal size
        size += len(piece)

    try:
        await receive(made, sink, max_bytes=_MOST, timeout=_TIMEOUT)  # type: ignore[arg-type]
    except (BadParameter, UnsupportedUpload, UploadTooLarge):
        return
    assert 0 < size <= _MOST
