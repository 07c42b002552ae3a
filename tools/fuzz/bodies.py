"""Target: the body of an upload, as a form or raw."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from aiohttp import StreamReader, hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from service.errors import BadParameter, UnsupportedUpload, UploadTooLarge
from service.web.bodies import receive

_MOST = 2_000
"""Bytes of a file at most."""
_TIMEOUT = 60.0
"""Seconds for a piece. All of a body is there at once."""
_LOOP = asyncio.new_event_loop()


def body(data: bytes) -> None:
    """Receive a body. The first line is its `Content-Type`."""
    kind, _, rest = data.partition(b"\n")
    _LOOP.run_until_complete(_received(kind.decode("latin-1"), rest))


def body_corpus() -> Iterator[bytes]:
    """Yield forms and a raw body."""
    name = b'Content-Disposition: form-data; name="a"'
    file = name + b'; filename="a.jpg"\r\nContent-Type: image/jpeg'
    yield b"image/png\n\x89PNG"
    form = b"multipart/form-data; boundary=b\n"
    yield form + b"--b\r\n" + name + b"\r\n\r\nwords\r\n--b\r\n" + file + b"\r\n\r\n\xff\xd8\xff\r\n--b--\r\n"
    with_length = b"binary\r\nContent-Length: 2\r\n\r\n\xff\xd8"
    for coding in (b"base64\r\n\r\n/9j/", b"quoted-printable\r\n\r\n=ff=d8", with_length):
        yield form + b"--b\r\n" + file + b"\r\nContent-Transfer-Encoding: " + coding + b"\r\n--b--"
    inner = b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n1\r\n--c--\r\n--b--"
    yield b'multipart/form-data; charset=utf-8; boundary="b"\nabout\r\n' + inner


async def _received(kind: str, data: bytes) -> None:
    size = 0

    async def sink(piece: bytes) -> None:
        nonlocal size
        size += len(piece)

    content = StreamReader(BaseProtocol(_LOOP), 65_536, loop=_LOOP)
    content.feed_data(data)
    content.feed_eof()
    request = make_mocked_request("PUT", "/", {hdrs.CONTENT_TYPE: kind}, payload=content, loop=_LOOP)
    try:
        await receive(request, sink, max_bytes=_MOST, timeout=_TIMEOUT)
    except (BadParameter, UnsupportedUpload, UploadTooLarge):
        return
    assert 0 < size <= _MOST
