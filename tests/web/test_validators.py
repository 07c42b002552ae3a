"""The headers of 304, of HEAD, and of stale answers (docs/contract.md, section 6)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from service.rendering.pool import RenderPool
from service.web.keys import CACHE, RENDERER
from tests.conftest import Serve
from tests.web.conftest import Get
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

MOMENTARY = {"Date", "Cache-Status", "Server-Timing", "X-Request-ID"}
OF_THE_BODY = {"Content-Type", "Content-Length", "Content-Disposition", "Content-Language", "Accept-Ranges"}
QUERIES = ["1", "1?w=40", "1?w=40&type=png", "404?ifBlank=Default", "404?ifBlank=SrNoPhoto"]


def split(what: str) -> tuple[str, str]:
    contact, mark, query = what.partition("?")
    return contact, mark + query


@pytest.mark.parametrize("what", QUERIES)
async def test_304_has_the_headers_of_200_except_those_of_the_body(serve: Serve, get: Get, what: str) -> None:
    client = await serve()
    for _ in range(3):  # with an empty cache, with a full one, and as a repeat
        full = await get(client, *split(what))
        unchanged = await get(client, *split(what), If_None_Match=full.headers["ETag"])
        assert unchanged.status == 304
        assert set(unchanged.headers) - MOMENTARY == set(full.headers) - MOMENTARY - OF_THE_BODY
        for name in set(unchanged.headers) - MOMENTARY:
            assert unchanged.headers[name] == full.headers[name]
        assert {"etag", "date", "cache-control"} <= {name.lower() for name in unchanged.headers}


@pytest.mark.parametrize("what", [*QUERIES, "404", "1?w=x", "x"])
async def test_head_has_the_headers_of_get_and_no_body(serve: Serve, get: Get, what: str) -> None:
    for first, second in (("GET", "HEAD"), ("HEAD", "GET")):
        client = await serve()
        await get(client, *split(what), method=first)
        answers = [await get(client, *split(what), method=method) for method in (second, first, second)]
        names = [set(answer.headers) for answer in answers]
        assert names[0] == names[1] == names[2]
        for name in names[0] - MOMENTARY:
            assert len({answer.headers[name] for answer in answers}) == 1 or (name == "Content-Length" and "x" in what)
        for method, answer in zip((second, first, second), answers, strict=True):
            assert bool(await answer.read()) is (method == "GET")


async def test_304_does_not_wait_for_the_renderer(serve: Serve, get: Get) -> None:
    known = await serve()
    tag = (await get(known, 1, "?w=40")).headers["ETag"]
    client = await serve(render={"queue": 1, "timeout": 60})
    pool = client.app[RENDERER]
    assert isinstance(pool, RenderPool)
    async with asyncio.timeout(60):
        while not pool.pids:
            await asyncio.sleep(0.01)  # until another process has started
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        busy = [asyncio.ensure_future(get(client, 1, f"?w={width}")) for width in (41, 42)]
        async with asyncio.timeout(60):
            for method in ("GET", "HEAD"):
                for spelling in (tag, f"W/{tag}", f'"a", {tag}', "*"):
                    answer = await get(client, 1, "?w=40", method=method, If_None_Match=spelling)
                    assert answer.status == 304
        assert not any(request.done() for request in busy)
    finally:
        for pid in pool.pids:
            os.kill(pid, signal.SIGCONT)
        await asyncio.gather(*busy)


@pytest.mark.parametrize("query", ["", "?w=40"])
async def test_stale_answer_has_a_negative_ttl_and_a_short_lifetime(
    serve: Serve, get: Get, images: Path, query: str
) -> None:
    """The folder of pictures is missing, so stale pictures are served."""
    client = await serve(cache={"fresh_for": 1}, http={"stale_while_revalidate": 0, "stale_max_age": 7})
    full = await get(client, 1, query)
    body = await full.read()
    images.rename(images.with_name("away"))
    begun = time.monotonic()
    while "ttl=-" not in (stale := await get(client, 1, query)).headers["Cache-Status"]:
        assert time.monotonic() - begun < 60
        await asyncio.sleep(0.05)
    unchanged = await get(client, 1, query, If_None_Match=full.headers["ETag"])
    assert (stale.status, await stale.read(), unchanged.status) == (200, body, 304)
    for answer in (stale, unchanged):
        assert answer.headers["Cache-Status"].startswith("contact-image; hit; ttl=-")
        assert answer.headers["Cache-Control"] == "public, max-age=7, stale-if-error=86400"
        assert answer.headers["ETag"] == full.headers["ETag"]
    images.with_name("away").rename(images)
    while (again := await get(client, 1, query)).headers["Cache-Control"] != full.headers["Cache-Control"]:
        assert time.monotonic() - begun < 60
        await asyncio.sleep(0.05)
    assert again.headers["ETag"] == full.headers["ETag"]


async def test_older_rendition_is_sent_whole_with_its_own_etag_and_no_date(
    serve: Serve, get: Get, images: Path
) -> None:
    """The record of the new picture is cached, but its bytes cannot be read: the folder is missing by then."""
    client = await serve(images={"near": False}, cache={"fresh_for": 1}, http={"stale_while_revalidate": 0})
    old = await get(client, 1)
    body = await old.read()
    (images / "1.jpg").write_bytes(saved(quarters(90, 60), "JPEG"))
    begun = time.monotonic()
    while (await get(client, 1, method="HEAD")).headers["ETag"] == old.headers["ETag"]:  # a lookup, but no read
        assert time.monotonic() - begun < 60
        await asyncio.sleep(0.05)
    await client.app[CACHE].settle()  # before that, a repeat may find the record of the old picture in Redis
    images.rename(images.with_name("away"))
    for fields in ({}, {"Range": "bytes=0-9"}):
        answer = await get(client, 1, **fields)
        assert (answer.status, await answer.read()) == (200, body)
        assert answer.headers["ETag"] == old.headers["ETag"]
        assert "Last-Modified" not in answer.headers
        assert answer.headers["Cache-Control"] == "public, max-age=5, stale-if-error=86400"
