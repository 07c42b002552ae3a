"""Malformed HTTP/1 requests and ambiguous bodies: 400 as a problem, and the connection is closed."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Serve
from tests.web.raw_http import CHUNKED, CLOSE, HOST, LAST, PICTURE, answers, request

pytestmark = pytest.mark.usefixtures("people")

MALFORMED = {
    "no Host": request(host=b""),
    "an empty Host": request(host=b"Host:\r\n"),
    "a Host of spaces": request(host=b"Host:   \r\n"),
    "two Hosts": request(host=HOST + b"Host: evil.example\r\n"),
    "one Host twice": request(host=HOST + HOST),
    "a Host with a space": request(host=b"Host: pictures.example evil.example\r\n"),
    "Hosts in a list": request(host=b"Host: pictures.example, evil.example\r\n"),
    "a Host with a user": request(host=b"Host: pictures.example@evil.example\r\n"),
    "a Host with a path": request(host=b"Host: evil.example/x\r\n"),
    "a Host with a mark": request(host=b'Host: evil.example"><script>\r\n'),
    "a Host with a word for a port": request(host=b"Host: pictures.example:http\r\n"),
    "a Host with half a bracket": request(host=b"Host: [::1\r\n"),
    "a Host with a control byte": request(host=b"Host: pictures\x01example\r\n"),
    "a Host with NUL": request(host=b"Host: pictures\0.example\r\n"),
    "a Host beyond ASCII": request(host="Host: pictüres.example\r\n".encode()),
    "a Host of 8 kB": request(host=b"Host: " + b"a" * 8_000 + b"\r\n"),
    "a space before the colon": request(fields=b"X-Spaced : 1\r\n"),
    "a folded line": request(fields=b"X-Folded: 1\r\n 2\r\n"),
    "a folded line first": request(host=b" Host: pictures.example\r\n"),
    "NUL in a value": request(fields=b"X-Odd: 1\0002\r\n"),
    "a bare CR in a value": request(fields=b"X-Odd: 1\rX-Other: 2\r\n"),
    "a bare LF in a value": request(fields=b"X-Odd: 1\nX-Other: 2\r\n"),
    "a control byte in a value": request(fields=b"Accept: image/\x01png\r\n"),
    "DEL in a value": request(fields=b"X-Odd: \x7f\r\n"),
    "no name": request(fields=b": 1\r\n"),
    "a name with a bracket": request(fields=b"X(Odd: 1\r\n"),
    "no colon": request(fields=b"X-Odd\r\n"),
    "NUL in the target": request(b"/api/v1/Contact/1/Ima\0ge"),
    "CR in the target": request(b"/api/v1/Contact/1/Image\rX-Odd:1"),
    "LF in the target": request(b"/api/v1/Contact/1/Image\nX-Odd: 1"),
    "a tab in the target": request(b"/api/v1/Contact/1/\tImage"),
    "DEL in the target": request(b"/api/v1/Contact/1\x7f/Image"),
    "a raw byte in the target": request(b"/api/v1/Contact/\xff/Image"),
    "a raw letter in the target": request("/api/v1/Contact/１/Image".encode()),
    "a fragment": request(b"/api/v1/Contact/1/Image#?w=20"),
    "back slashes": request(b"\\api\\v1\\Contact\\1\\Image"),
    "another scheme": request(b"ftp://pictures.example" + PICTURE),
    "a host with no end": request(b"http://[::1" + PICTURE),
    "a port beyond all": request(b"http://pictures.example:99999" + PICTURE),
    "a server in place of a path": request(b"http://pictures.example"),
    "an authority": request(b"pictures.example:80"),
    "a tunnel": request(b"pictures.example:80", method=b"CONNECT"),
    "a tunnel to a path": request(method=b"CONNECT"),
    "a star": request(b"*"),
    "no target": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET " + PICTURE + b"\r\n\r\n",
    "HTTP/2.0": b"GET " + PICTURE + b" HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.9": b"GET " + PICTURE + b" HTTP/1.9\r\n" + HOST + b"\r\n",
    "http/1.1": b"GET " + PICTURE + b" http/1.1\r\n" + HOST + b"\r\n",
    "lines that end with LF": b"GET " + PICTURE + b" HTTP/1.1\nHost: pictures.example\n\n",
    "lines that end with CR": b"GET " + PICTURE + b" HTTP/1.1\rHost: pictures.example\r\r",
    "tabs in the first line": b"GET\t" + PICTURE + b"\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": request(method=b"GOT"),
    "a method in small letters": request(method=b"get"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "a target of 10 kB": request(b"/api/v1/Contact/" + b"1" * 10_000 + b"/Image"),
    "chunks in HTTP/1.0": b"GET " + PICTURE + b" HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks in HTTP/1.0 on a kept connection": b"GET "
    + PICTURE
    + b" HTTP/1.0\r\nConnection: keep-alive\r\n"
    + CHUNKED
    + b"\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": b"GET " + PICTURE + b" HTTP/1.0\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two Content-Types": request(method=b"PUT", fields=b"Content-Type: image/png\r\nContent-Type: image/gif\r\n"),
}
"""Requests that a server must refuse (RFC 9112)."""

SMUGGLED = {
    "a length and chunks": b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and a length": CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "one length twice": b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": b"Content-Length: 0, 0\r\n\r\n",
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "a length below nothing": b"Content-Length: -1\r\n\r\n",
    "a length in hex": b"Content-Length: 0x5\r\n\r\n",
    "a length beyond all": b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a length in words": b"Content-Length: five\r\n\r\n",
    "a coding like chunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, and more": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "no coding": b"Transfer-Encoding: identity\r\n\r\n",
    "a coding behind a vertical tab": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding behind a space": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a coding in a folded line": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a chunk's size with 0x": CHUNKED + b"\r\n0x1\r\na\r\n0\r\n\r\n",
    "a chunk's size with _": CHUNKED + b"\r\n1_0\r\na\r\n0\r\n\r\n",
    "a chunk beyond all": CHUNKED + b"\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"\r\n1\r\nabc\r\n0\r\n\r\n",
    "a chunk's extension with LF": CHUNKED + b"\r\n1;\na\r\n0\r\n\r\n",
    "chunks that end with LF": CHUNKED + b"\r\n1\na\n0\n\n",
}
"""Bodies whose end two servers may read differently."""


async def test_malformed_request_is_400_and_the_last_on_its_connection(serve: Serve) -> None:
    client = await serve()
    await answers(client, request(fields=CLOSE))  # the next request is a repeat
    for name, sent in MALFORMED.items():
        found = await answers(client, sent + LAST)
        assert [answer.status for answer in found] == [400], name
        assert found[0].is_problem, name
        assert found[0].headers["server"] == "contact-image", name
    assert [each.status for each in await answers(client, LAST)] == [200]


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE"])
async def test_no_second_request_is_smuggled_in_a_body(serve: Serve, method: bytes) -> None:
    client = await serve(writes={"enabled": True})
    for name, rest in SMUGGLED.items():
        sent = method + b" /api/v1/Contact/77/Image HTTP/1.1\r\n" + HOST + rest
        found = await answers(client, sent + LAST)
        assert len(found) == 1, name
        assert 400 <= found[0].status < 500, name
        assert found[0].is_problem, name
    assert (await client.get("/api/v1/Contact/77/Image", headers={"Accept": "*/*"})).status == 404
    assert [each.status for each in await answers(client, LAST)] == [200]


async def test_unread_body_is_not_taken_for_a_request(serve: Serve) -> None:
    client = await serve()
    length = b"Content-Length: %d\r\n" % len(LAST)
    chunk = b"%x;what=ever\r\n" % len(LAST) + LAST + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
    await client.get(PICTURE.decode())
    for method, status in ((b"GET", 200), (b"POST", 403), (b"DELETE", 403), (b"PATCH", 405), (b"OPTIONS", 204)):
        for sent in (request(fields=length, method=method) + LAST, request(fields=CHUNKED, method=method) + chunk):
            found = await answers(client, sent + LAST)
            assert [each.status for each in found] == [status, 200], (method, sent)
            assert json.loads(found[1].body) == {"status": "alive"}
