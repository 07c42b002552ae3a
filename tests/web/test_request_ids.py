"""Ids of requests: those of trusted proxies come back and are in the log; other requests get one of the service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import TestClient

from service.web.keys import CACHE
from tests.conftest import Serve
from tests.web.conftest import Get
from tests.web.raw_http import Answer, answers, request
from tests.web.test_answered_at_once import HIT, Raw
from tests.web.test_coalescing import frozen_worker, until_metric

pytestmark = pytest.mark.usefixtures("people")

PROXY = {"trusted_proxies": ["127.0.0.0/8"]}
LONGEST = "aZ09._-" + "x" * 121
INVALID = ("", "x" * 129, "a b", "a/b", "a,b", "é", "a;b", "%0d%0a", "a\tb", '"a"', "a{b}", "a:b")
MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]+-[0-9a-f]+")
"""The form of the ids that the service makes."""


def named(request_id: str) -> dict[str, str]:
    return {"X-Request-ID": request_id}


async def ask(client: TestClient[Any, Any], target: bytes, *ids: str, method: bytes = b"GET") -> Answer:
    """Return the answer to a request with a field for each of *ids*."""
    fields = b"".join(b"X-Request-ID: " + each.encode() + b"\r\n" for each in ids)
    (answer,) = await answers(client, request(target, fields + b"Connection: close\r\n", method=method))
    return answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/Contact/1/Image?w=20", 200),
        ("GET", "/api/v1/Contact/1/Image", 200),
        ("GET", "/api/v1/Contact/404/Image?ifBlank=Default", 200),
        ("HEAD", "/api/v1/Contact/1/Image?w=20", 200),
        ("GET", "/api/v1/Contact/1/Imageinfo", 200),
        ("OPTIONS", "/api/v1/Contact/1/Image", 204),
        ("GET", "/healthz", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/api/v1/Contact/404/Image", 404),
        ("GET", "/api/v1/Contact/1/Image?w=x", 400),
        ("PUT", "/api/v1/Contact/1/Image", 403),
        ("POST", "/healthz", 405),
        ("GET", "/elsewhere", 404),
    ],
)
async def test_id_of_a_proxy_comes_back_on_every_answer(serve: Serve, method: str, path: str, status: int) -> None:
    client = await serve(server=PROXY)
    for number in range(3):
        async with client.request(method, path, headers=named(f"id-{number}")) as answer:
            assert answer.status == status
            assert answer.headers.getall("X-Request-ID") == [f"id-{number}"]
            if status >= 400:
                assert json.loads(await answer.read())["requestId"] == f"id-{number}"
        async with client.request(method, path) as answer:  # another request over the same connection
            made = answer.headers.getall("X-Request-ID", [])
            assert [bool(MADE.fullmatch(each)) for each in made] == ([True] if status >= 400 else [])


@pytest.mark.parametrize("cache", [{}, {"memory_bytes": 0}], ids=["memory", "redis"])
async def test_each_hit_has_its_own_id(serve: Serve, cache: dict[str, Any]) -> None:
    client = await serve(cache=cache, server={**PROXY, "allowed_hosts": ["localhost"]})
    raw = Raw(*await asyncio.open_connection(client.host, client.port))
    etag = b""
    for number in range(8):  # from a miss to hits that are answered without a task
        given = f"x-request-id: id-{number}"
        head, body = await raw.ask(fields=b"Accept: */*\r\n" + given.encode() + b"\r\n")
        assert head.startswith("http/1.1 200 ") and body
        assert head.count("x-request-id") == 1 and f"{given}\r\n" in head
        head, _ = await raw.ask(fields=b"Accept: */*\r\n")
        assert head.startswith("http/1.1 200 ") and "x-request-id" not in head
        etag = head.partition("etag: ")[2].partition("\r\n")[0].encode()
        head, _ = await raw.ask(fields=b"Accept: */*\r\nIf-None-Match: " + etag + b"\r\n" + given.encode() + b"\r\n")
        assert head.startswith("http/1.1 304 ") and head.count(f"{given}\r\n") == 1
        head, _ = await raw.ask(fields=b"Accept: */*\r\n" + given.encode() + b"\r\n", method=b"HEAD")
        assert head.startswith("http/1.1 200 ") and head.count(f"{given}\r\n") == 1
        await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
    assert "hit" in head
    raw.writer.close()


async def test_large_hit_and_streamed_picture_have_their_ids(serve: Serve, images: Any) -> None:
    (images / "9.png").write_bytes((images / "2.png").read_bytes() + os.urandom(400_000))  # after its end
    client = await serve(server=PROXY)
    for query in ("", "?w=900&type=BMP", "?w=900&type=TIFF"):
        for number in range(4):
            target = f"/api/v1/Contact/9/Image{query}"
            async with client.get(target, headers=named(f"id-{number}") | {"Accept": "*/*"}) as answer:
                await answer.read()
                assert answer.headers.getall("X-Request-ID") == [f"id-{number}"]


@pytest.mark.parametrize("target", [b"/api/v1/Contact/1/Image?w=x", b"*", b"http://localhost/elsewhere"])
async def test_longest_id_comes_back(serve: Serve, target: bytes) -> None:
    client = await serve(server=PROXY)
    method = b"OPTIONS" if target == b"*" else b"GET"
    assert (await ask(client, target, LONGEST, method=method)).headers["x-request-id"] == LONGEST


async def test_malformed_request_has_an_id(serve: Serve) -> None:
    client = await serve(server=PROXY)
    for sent in (b"no HTTP at all\r\n\r\n", request(b"/#x", b"X-Request-ID: id-1\r\n"), request(host=b"Host: a/b\r\n")):
        (answer,) = await answers(client, sent)
        assert answer.status == 400
        expected = r"id-1" if b"id-1" in sent else MADE.pattern
        assert re.fullmatch(expected, answer.headers["x-request-id"])
        assert json.loads(answer.body)["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("given", INVALID)
async def test_invalid_id_is_ignored(serve: Serve, given: str) -> None:
    client = await serve(server=PROXY)
    assert "x-request-id" not in (await ask(client, HIT, given)).headers
    answer = await ask(client, b"/api/v1/Contact/1/Image?w=x", given)
    assert answer.status == 400 and answer.headers["x-request-id"] == json.loads(answer.body)["requestId"]
    assert MADE.fullmatch(answer.headers["x-request-id"])


async def test_repeated_id_is_ignored(serve: Serve) -> None:
    client = await serve(server=PROXY)
    for ids in (("a", "b"), ("a", "a"), ("a", "")):
        assert "x-request-id" not in (await ask(client, HIT, *ids)).headers
        answer = await ask(client, b"/api/v1/Contact/404/Image", *ids)
        assert MADE.fullmatch(answer.headers["x-request-id"])


@pytest.mark.parametrize("server", [{}, {"trusted_proxies": ["10.0.0.0/8", "::1"]}], ids=["no proxy", "another proxy"])
async def test_id_of_another_client_is_ignored(serve: Serve, server: dict[str, Any]) -> None:
    client = await serve(server=server)
    raw = Raw(*await asyncio.open_connection("127.0.0.1", client.port))
    with structlog.testing.capture_logs() as lines:
        for _ in range(6):
            head, _ = await raw.ask(HIT, b"Accept: */*\r\nX-Request-ID: forged\r\n")
            assert head.startswith("http/1.1 200 ") and "x-request-id" not in head
        answer = await ask(client, b"/api/v1/Contact/1/Image?w=x", "forged")
    raw.writer.close()
    assert MADE.fullmatch(answer.headers["x-request-id"])
    assert "forged" not in answer.body.decode() + repr(lines)


async def test_requests_that_share_a_render_have_their_own_ids(serve: Serve, get: Get) -> None:
    client = await serve(server=PROXY)
    pid = await frozen_worker(client)
    asked = [asyncio.create_task(get(client, 1, "?w=81", X_Request_ID=f"id-{each}")) for each in range(20)]
    await until_metric(client, "contact_image_renders_started_total", 1)
    os.kill(pid, signal.SIGCONT)
    answered = await asyncio.gather(*asked)
    assert [each.headers["X-Request-ID"] for each in answered] == [f"id-{each}" for each in range(20)]
    assert any("collapsed" in each.headers["Cache-Status"] for each in answered)
    assert "X-Request-ID" not in (await get(client, 1, "?w=81")).headers
