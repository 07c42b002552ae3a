"""Header fields that select a method, resource, host or size in other servers: here they change no answer."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Serve
from tests.web.raw_http import CLOSE, Answer, answers, request
from tests.web.test_coalescing import metric

pytestmark = pytest.mark.usefixtures("people")

FOREIGN = {
    "X-HTTP-Method-Override": "DELETE",
    "X-HTTP-Method": "PURGE",
    "X-Method-Override": "PUT",
    "X-Original-URL": "/api/v1/Contact/2/Image",
    "X-Rewrite-URL": "/api/v1/Contact/2/Image?w=99",
    "X-Original-Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Scheme": "nothttps",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-For": "127.0.0.1, evil.example",
    "X-Forwarded-Uri": "/api/v1/Contact/2/Image",
    "X-Real-IP": "127.0.0.1",
    "X-Host": "evil.example",
    "X-HTTP-Host-Override": "evil.example",
    "Forwarded": 'for="_evil";host=evil.example;proto=gopher',
    "True-Client-IP": "127.0.0.1",
    "Via": "1.1 evil.example",
    "Max-Forwards": "0",
    "Surrogate-Capability": 'evil="ESI/1.0"',
    "Accept-Encoding": "gzip, br;q=1.0, *;q=0",
    "Accept-Charset": "utf-7",
    "Cache-Control": "no-cache, no-store, max-age=0",
    "Pragma": "no-cache",
    "TE": "trailers, deflate",
    "Upgrade": "websocket",
    "Expect": "200-ok",
    "Width": "99",
    "DPR": "3",
    "Sec-CH-DPR": "3",
    "Save-Data": "on",
    "Accept-Language": "sv",
    "SO-Language": "sv",
    "SO-Culture": "nb-NO",
    "SO-TimeZone": "../../etc/localtime",
    "Authorization": "Basic Og==",
    "SO-AppToken": "evil",
    "X-XSRF-TOKEN": "evil",
    "Cookie": "w=99; contact=2; XSRF-TOKEN=evil",
    "Origin": "https://evil.example",
    "Referer": "https://evil.example/",
    "User-Agent": "evil\xff",
    "Content-Type": "application/x-www-form-urlencoded",
    "Content-Encoding": "gzip",
    "If-Match": '"evil"',
    "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT",
    "If-Range": '"evil"',
    "Range": "bytes=0-1",
    "X-Evil": "A" * 8_000,
}
"""Header fields that change the answers of other servers."""
CHANGING = {"connection", "date", "server-timing", "cache-status", "x-request-id"}


def comparable(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Return the parts of *answer* that must be the same."""
    return answer.status, {name: text for name, text in answer.headers.items() if name not in CHANGING}, answer.body


async def test_foreign_field_changes_neither_its_answer_nor_the_next(serve: Serve) -> None:
    clean, hostile = await serve(), await serve()
    for number, (name, value) in enumerate(FOREIGN.items()):
        target = b"/api/v1/Contact/1/Image?w=%d" % (20 + number)
        field = f"{name}: {value}\r\n".encode("latin-1")
        (expected,) = await answers(clean, request(target, CLOSE))
        assert expected.status == 200
        first, second = await answers(hostile, request(target, field) + request(target, CLOSE))
        assert comparable(first) == comparable(second) == comparable(expected), name
        assert "evil" not in repr((first.headers, second.headers)), name


async def test_foreign_field_changes_no_error_and_no_placeholder(serve: Serve) -> None:
    clean, hostile = await serve(), await serve()
    worded = {"Accept-Language", "SO-Language", "SO-Culture"}  # these change an error, and `Vary` names them
    for number, (name, value) in enumerate(FOREIGN.items()):
        for query in (b"", b"?ifBlank=Default&w=20", b"?ifBlank=SrNoPhoto"):
            target = b"/api/v1/Contact/%d/Image%b" % (1_000 + number, query)
            field = f"{name}: {value}\r\n".encode("latin-1")
            (expected,) = await answers(clean, request(target, CLOSE))
            first, second = await answers(hostile, request(target, field) + request(target, CLOSE))
            assert comparable(second)[0] == comparable(expected)[0], (name, query)
            assert without_request_id(second) == without_request_id(expected), (name, query)
            assert "evil" not in repr(first), (name, query)
            if name in worded and query != b"?ifBlank=Default&w=20":
                assert name in first.headers["vary"], (name, query)
            else:
                assert without_request_id(first) == without_request_id(expected), (name, query)


def without_request_id(answer: Answer) -> object:
    """Return the parts of *answer* that must be the same, without the request's id in a problem."""
    return comparable(answer) if not answer.is_problem else {**json.loads(answer.body), "requestId": ""}


async def test_method_cannot_be_overridden_by_a_field(serve: Serve) -> None:
    client = await serve(writes={"enabled": True})
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for method in ("DELETE", "PURGE", "PUT"):
            response = await client.get(f"/api/v1/Contact/1/Image?_method={method}", headers={name: method})
            assert response.status == 200
    assert await metric(client, "contact_image_purges_total") == 0
