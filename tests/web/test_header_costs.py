"""The time to parse a value that a client chooses grows no faster than its length, and no value is a fault."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.web.conftest import Client
from tests.web.raw_http import CLOSE, answers, request

pytestmark = pytest.mark.usefixtures("people")

UNITS = (
    b'"', b"(", b")", b"\\", b'\\"', b'"(', b'""', b";", b"=", b",", b" ", b"\t", b"a", b"0", b"-", b".", b":", b"/",
    b"*",
    b"<", b"[", b"%", b"%41", b"'", b"a=", b'a="', b"a;", b"a,", b"a b", b"a=b;", b'a="\\', b';a="', b"*/*,", b"a/b;q=",
    b'W/"a",', b"0-1,", b"a-", b"a*0=b;", b"=?utf-8?q?", b"1.1.1.1,", b"Mon, ",
    b"\xc3\xa9",
)  # fmt: skip
"""Texts that are repeated up to 8 KB: what the grammars of header fields give a meaning."""
SMALL, LARGE = 1_000, 8_000
_clients = itertools.count(256)

_PICTURE, _INFO = b"/api/v1/Contact/1/Image?w=20", b"/api/v1/Contact/1/Imageinfo"
_BOUNDARY = b"Content-Type: multipart/form-data; boundary=b\r\n"
_FIELDS = {
    b"Accept": b"", b"Accept-Language": b"", b"SO-Language": b"", b"SO-Culture": b"SO-Language: de\r\n", b"Cookie": b"",
    b"Cookie: XSRF-TOKEN": b"X-XSRF-TOKEN: a\r\n", b"X-XSRF-TOKEN": b"", b"Authorization": b"",
    b"Authorization: Basic": b"", b"Authorization: Bearer": b"", b"Authorization: SoTicket": b"",
    b"SO-AppToken": b"Authorization: Bearer a\r\n", b"Range": b"", b"Range: bytes=": b"",
    b"If-Range": b"Range: bytes=0-1\r\n",
    b"If-None-Match": b"", b"If-Modified-Since": b"", b"X-Forwarded-For": b"", b"Forwarded": b"", b"Origin": b"",
    b"Expect": b"", b"Upgrade": b"Connection: Upgrade\r\n", b"X-Unknown": b"",
}  # fmt: skip
_WRITE_FIELDS = (
    b"Content-Type", b"Content-Type: multipart/form-data;", b'Content-Type: multipart/form-data; boundary="',
    b"Content-Encoding", b"If-Match", b"If-None-Match", b"If-Unmodified-Since", b"Sec-Fetch-Site", b"Origin",
)  # fmt: skip
_PART_FIELDS = (
    b"Content-Disposition", b"Content-Disposition: form-data;", b'Content-Disposition: form-data; name="',
    b'Content-Disposition: form-data; name="_charset_"; filename="',
    b"Content-Disposition: form-data; filename*=punycode''", b"Content-Type", b"Content-Transfer-Encoding",
    b"Content-Length", b"X-Unknown",
)  # fmt: skip


def _line(name: bytes, value: bytes) -> bytes:
    return name + (b"" if b":" in name else b":") + b" " + value + b"\r\n"


def _client() -> bytes:
    """Return the field that names a new client, since wrong credentials of one client are soon refused unread."""
    number = next(_clients)
    return b"X-Forwarded-For: 10.0.%d.%d\r\n" % divmod(number, 256)


def read_requests(value: bytes) -> dict[bytes, bytes]:
    """Return requests of pictures by the field or the part of the target that has *value*."""
    found = {name: request(_PICTURE, _client() + _line(name, value) + more + CLOSE) for name, more in _FIELDS.items()}
    found[b"SO-TimeZone"] = request(_INFO, _line(b"SO-TimeZone", value) + CLOSE)
    found[b"Host"] = request(_PICTURE, CLOSE, host=_line(b"Host", value))
    for target in (b"/", _PICTURE + b"&", _PICTURE + b"&type=", b"http://", b"/api/v1/Contact/"):
        found[target] = request(target + value, CLOSE)
    return found


def write_requests(value: bytes) -> dict[bytes, bytes]:
    """Return uploads by the field of the request or of the form's part that has *value*."""
    length = b"Content-Length: 1\r\n"
    found = {
        name: request(_PICTURE, _line(name, value) + length + CLOSE, method=b"PUT") + b"x" for name in _WRITE_FIELDS
    }
    for name in _PART_FIELDS:
        body = b"--b\r\n" + _line(name, value) + b"\r\n" + b"y" * 40 + b"\r\n--b--\r\n"
        fields = _BOUNDARY + b"Content-Length: %d\r\n" % len(body) + CLOSE
        found[b"part " + name] = request(_PICTURE, fields, method=b"PUT") + body
    return found


async def measured(client: Client, sent: bytes) -> tuple[float, int]:
    """Return the seconds of processor time for *sent*, and the status of the answer."""
    begun = time.process_time()
    (answer,) = await answers(client, sent)
    return time.process_time() - begun, answer.status


async def test_time_to_read_grows_with_the_length_of_a_value(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("")
    client = await serve(
        auth={
            "schemes": ["basic", "bearer", "soticket", "session"],
            "anonymous_read": True,
            "superoffice_url": "http://127.0.0.1:9",
            "users_file": str(tmp_path / "users"),
        },
        server={"trusted_proxies": ["127.0.0.1"]},
    )
    await assert_linear(client, read_requests)


async def test_time_to_read_of_an_upload_grows_with_the_length_of_a_value(serve: Serve) -> None:
    client = await serve(writes={"enabled": True})
    await assert_linear(client, write_requests)


async def assert_linear(client: Client, requests: object) -> None:
    """Assert that eight times the length takes 24 times as long at most, apart from what any request takes."""
    assert callable(requests)
    for unit in UNITS:
        small, large = (requests((unit * size)[:size]) for size in (SMALL, LARGE))
        for name, sent in large.items():
            seconds, status = await measured(client, sent)
            assert status < 500 or status == 503, (name, unit)  # no SuperOffice is there to verify credentials
            if seconds > 0.05:  # less is no delay, and as much as two equal requests differ
                before = min([(await measured(client, small[name]))[0] for _ in range(3)])
                seconds = min([(await measured(client, sent))[0] for _ in range(3)])
                assert seconds < 24 * before, (name, unit)
