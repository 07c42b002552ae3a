"""Repeats: they get the answer of the earlier request at less cost, and never an older one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from service.access.identity import READER
from service.pictures.trace import Trace
from service.protocol.negotiate import requested_picture
from service.protocol.query import Query
from service.web.keys import PICTURES, RESPONSE_POLICY, SHARING
from service.web.policy import CacheLifetime
from service.web.repeats import Repeats
from service.web.requester import Requester
from tests.conftest import Serve
from tests.web.conftest import Get
from tests.web.test_coalescing import frozen_worker, metric
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

VARYING = {"Cache-Status", "Server-Timing", "Date"}

PICTURE = CacheLifetime(300)


async def test_repeat_has_the_headers_of_the_first_answer(serve: Serve, get: Get) -> None:
    client = await serve()
    answers = [await get(client, 1, "?w=40") for _ in range(4)]  # a miss, a hit, and two repeats
    headers = [{name: value for name, value in each.headers.items() if name not in VARYING} for each in answers]
    assert headers == [headers[0]] * 4
    assert len({await each.read() for each in answers}) == 1
    for each in answers[1:]:
        assert each.headers["Cache-Status"].startswith("contact-image; hit; ttl=")
        assert each.headers["Server-Timing"].startswith("cache;dur=")
    assert await metric(client, "contact_image_store_reads_total") == 2


async def test_requests_with_different_accept_are_not_repeats_of_each_other(serve: Serve, get: Get) -> None:
    client = await serve()
    for _ in range(3):
        for name in ("webp", "png", "jpeg"):
            response = await get(client, 1, "?w=40", Accept=f"image/{name}")
            assert response.content_type == f"image/{name}"


async def test_repeat_with_a_current_validator_is_304(serve: Serve, get: Get) -> None:
    client = await serve()
    for _ in range(3):
        full = await get(client, 1, "?w=40")
    assert (await get(client, 1, "?w=40", If_None_Match=full.headers["ETag"])).status == 304
    assert (await get(client, 1, "?w=40", If_Modified_Since=full.headers["Last-Modified"])).status == 304
    assert (await get(client, 1, "?w=40", If_None_Match='"other"')).status == 200


async def test_repeat_by_head_has_no_body(serve: Serve, get: Get) -> None:
    client = await serve()
    for _ in range(3):
        full = await get(client, 1, "?w=40")
    head = await get(client, 1, "?w=40", method="HEAD")
    assert await head.read() == b""
    assert head.headers["Content-Length"] == full.headers["Content-Length"]


async def test_revalidation_of_a_changed_picture_ends_its_repeats(serve: Serve, get: Get, images: Path) -> None:
    client = await serve(cache={"fresh_for": 1})
    for _ in range(3):
        first = await get(client, 1)
    new = saved(quarters(30, 30), "PNG")
    (images / "coming").write_bytes(new)
    os.replace(images / "coming", images / "1.jpg")
    deadline = time.monotonic() + 60
    while (response := await get(client, 1)).headers["ETag"] == first.headers["ETag"]:
        assert time.monotonic() < deadline
    assert await response.read() == new
    os.unlink(images / "1.jpg")
    while (await get(client, 1)).status != 404:
        assert time.monotonic() < deadline


@pytest.mark.usefixtures("spawned_renderers", "always_on_processor")
async def test_fault_found_by_another_rendition_does_not_drop_cached_ones(serve: Serve, get: Get) -> None:
    """The record changes when a render of the picture takes too long. Cached renditions stay valid."""
    client = await serve(render={"timeout": 6})
    for _ in range(3):
        good = await get(client, 1, "?w=40")
    await frozen_worker(client)
    assert (await get(client, 1, "?w=41")).status == 503
    assert await (await get(client, 1, "?w=40")).read() == await good.read()


async def test_repeat_is_counted_like_any_request(serve: Serve, get: Get) -> None:
    client = await serve()
    for _ in range(5):
        await get(client, 1, "?w=40")
    assert await metric(client, "contact_image_request_duration_seconds_count") == 5
    assert await metric(client, 'contact_image_requests_total{method="GET",route="image",status="200"}') == 5
    assert await metric(client, 'contact_image_cache_total{layer="memory",outcome="hit"}') >= 3


async def test_range_of_a_repeated_picture_is_206(serve: Serve, get: Get) -> None:
    client = await serve()
    for _ in range(3):
        full = await get(client, 1)
    part = await get(client, 1, Range="bytes=0-9")
    assert part.status == 206
    assert await part.read() == (await full.read())[:10]


async def test_repeat_that_is_not_in_memory_comes_from_the_shared_cache(serve: Serve, get: Get) -> None:
    """On a busy machine a lookup may time out. Then the answer is not a hit, but equal."""
    client = await serve(cache={"memory_bytes": 0})
    first = await get(client, 1, "?w=40")
    hits, deadline = 0, time.monotonic() + 60
    while hits < 4:
        assert time.monotonic() < deadline, "it is found"
        again = await get(client, 1, "?w=40")
        hits += again.headers["Cache-Status"].startswith("contact-image; hit; ttl=")
        assert again.headers["ETag"] == first.headers["ETag"]
        assert await again.read() == await first.read()
    assert await metric(client, 'contact_image_cache_total{layer="shared",outcome="hit"}') >= 4
    assert (await get(client, 1, "?w=40", If_None_Match=first.headers["ETag"])).status == 304


@pytest.mark.parametrize(
    ("version", "connection", "kept"), [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False)]
)
async def test_repeat_keeps_or_closes_the_connection_as_requested(
    serve: Serve, get: Get, version: str, connection: str, kept: bool
) -> None:
    import asyncio

    client = await serve()
    for _ in range(3):
        full = await get(client, 1, "?w=40")
    reader, writer = await asyncio.open_connection(client.host, client.port)
    lines = [f"GET /api/v1/Contact/1/Image?w=40 HTTP/{version}", "Host: localhost", "Accept: */*"]
    writer.write("\r\n".join([*lines, *([f"Connection: {connection}"] if connection else []), "", ""]).encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode()
    assert head.split()[1] == "200"
    assert "cache-status: contact-image; hit" in head.lower()
    assert await asyncio.wait_for(reader.readexactly(int(full.headers["Content-Length"])), 60) == await full.read()
    if kept:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
    else:
        assert await asyncio.wait_for(reader.read(1), 60) == b""
    writer.close()


async def test_pipelined_requests_are_answered_in_order(serve: Serve, get: Get) -> None:
    import asyncio

    client = await serve()
    for query in ("?w=40", "?w=41"):
        for _ in range(3):
            await get(client, 1, query)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    asked = ["?w=40", "?w=41", "?w=42", "?w=40", "?w=41"]  # the third is not a repeat
    for query in asked:
        writer.write(f"GET /api/v1/Contact/1/Image{query} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode())
    for query in asked:
        expected = await get(client, 1, query)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode()
        assert f"ETag: {expected.headers['ETag']}" in head
        length = int(expected.headers["Content-Length"])
        assert await asyncio.wait_for(reader.readexactly(length), 60) == await expected.read()
    writer.close()


async def test_index_holds_as_many_answers_as_its_bytes_allow(serve: Serve) -> None:
    client = await serve()
    app, reader = client.server.app, Requester(READER, private=False)  # type: ignore[attr-defined]
    requested = requested_picture(Query(), None, app[RESPONSE_POLICY].preference)
    selection = await app[PICTURES].select(1, requested, Trace())
    repeats = Repeats(app[PICTURES], app[SHARING], 50_000)
    targets = [f"/api/v1/Contact/1/Image?w={width}" for width in range(1, 401)]
    for target in targets:
        for _ in range(2):  # the first time is noted
            repeats.keep(target, "image/*", selection, 1_000, PICTURE, negotiated=True)
        repeats.find(make_mocked_request("GET", target, {"Accept": "image/*"}), reader)
    found = [
        repeats.find(make_mocked_request("GET", target, {"Accept": "image/*"}), reader) is not None
        for target in targets
    ]
    assert 10 <= sum(found) <= 50  # of about 1,300 bytes each


async def test_answer_is_in_the_index_from_its_second_time_on(serve: Serve) -> None:
    client = await serve()
    app, reader = client.server.app, Requester(READER, private=False)  # type: ignore[attr-defined]
    selection = await app[PICTURES].select(1, requested_picture(Query(), None, ()), Trace())
    repeats, request = Repeats(app[PICTURES], app[SHARING], 1_000_000), make_mocked_request("GET", "/1", {})
    found = []
    for _ in range(3):
        found.append(repeats.find(request, reader) is not None)
        repeats.keep("/1", None, selection, 1_000, PICTURE, negotiated=True)
    assert found == [False, False, True]
