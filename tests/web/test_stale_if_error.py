"""Stale pictures and older renditions are served while the store fails or renders fail."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from service.web.keys import CACHE, RENDERER
from tests.conftest import Serve
from tests.pixels import shown
from tests.waiting import until
from tests.web.ageing import OLD, SHORT, STALE, Client, UnreliableStore, age, change, ttl
from tests.web.ageing import serve_fresh as serve_fresh
from tests.web.ageing import store as store
from tests.web.conftest import IMAGE, Get
from tests.web.test_coalescing import frozen_worker, metric, until_metric
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

RENDERS = "contact_image_renders_started_total"


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
async def test_stale_picture_is_served_for_stale_if_error_while_the_store_fails(
    serve_fresh: Serve, get: Get, store: UnreliableStore, hangs: bool
) -> None:
    client = await serve_fresh(adapters={"store": store}, http={"stale_if_error": 600})
    truth = await get(client, 1, "?w=20")
    store.time_limit = 0.2
    store.fails = not hangs
    if hangs:
        store.available.clear()
    for seconds in (STALE, OLD):
        await age(client, seconds)
        lookups, begun = store.lookups, time.monotonic()
        for _ in range(30):
            response = await get(client, 1, "?w=20")
            assert ttl(response) < 0
            assert response.headers["Cache-Control"] == "public, max-age=5, stale-if-error=600"
            assert await response.read() == await truth.read()
        assert store.lookups - lookups <= 4 + time.monotonic() - begun  # three at first, and then one a second
    await age(client, 600)
    refused = await get(client, 1, "?w=20")
    assert (refused.status, refused.headers["Cache-Control"]) == (504 if hangs else 502, "no-store")
    store.fails = False
    store.available.set()

    async def recovered() -> bool:
        response = await get(client, 1, "?w=20")
        return response.headers["Cache-Control"] != SHORT and response.status == 200

    await until(recovered)
    assert await metric(client, RENDERS) == 1


async def test_missing_folder_is_not_an_absence_of_pictures(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh()
    truth = await get(client, 1, "?w=20")
    images.rename(images.with_name("elsewhere"))
    await age(client, OLD)
    response = await get(client, 1, "?w=20")
    assert ttl(response) < 0
    assert await response.read() == await truth.read()
    assert (await get(client, 2, "?w=20")).status == 502


async def test_refused_write_leaves_what_is_cached(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh(writes={"enabled": True})
    truth = await get(client, 1, "?w=20")
    images.rename(images.with_name("elsewhere"))
    for method in ("DELETE", "PUT"):
        refused = await client.request(method, IMAGE.format(1), data=b"" if method == "DELETE" else await truth.read())
        assert refused.status == 502
        assert (await get(client, 1, "?w=20")).status == 200


async def test_absence_is_served_stale_while_the_store_fails(
    serve_fresh: Serve, get: Get, store: UnreliableStore, images: Path
) -> None:
    client = await serve_fresh(adapters={"store": store})
    assert (await get(client, 404)).status == 404
    assert (await get(client, 404, "?ifBlank=Default")).status == 200
    store.fails = True
    await age(client, STALE, 404)
    assert (await get(client, 404)).status == 404
    placeholder = await get(client, 404, "?ifBlank=Default")
    assert (placeholder.status, placeholder.headers["Cache-Control"]) == (200, "public, max-age=30")
    store.fails = False
    (images / "404.jpg").write_bytes((images / "1.jpg").read_bytes())
    async with asyncio.timeout(60):
        while (await get(client, 404)).status != 200:
            await asyncio.sleep(0.05)  # until the next lookup in the store: one a second


async def with_an_older_rendition(client: Client, get: Get, images: Path) -> ClientResponse:
    """Cache a rendition, replace the picture, and wait until its new record is known; return the rendition's answer."""
    older = await get(client, 1, "?w=20")
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    change(images)
    await age(client, OLD)
    assert (await get(client, 1)).headers["Content-Length"] != older.headers["Content-Length"]
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    return older


async def is_the_older(response: ClientResponse, older: ClientResponse) -> None:
    assert response.status == 200
    assert ttl(response) < 0
    assert response.headers["Cache-Control"] == SHORT
    assert response.headers["ETag"] == older.headers["ETag"]
    assert "Last-Modified" not in response.headers
    assert await response.read() == await older.read()


@pytest.mark.usefixtures("spawned_renderers")
async def test_render_over_its_time_limit_returns_the_older_rendition(
    serve_fresh: Serve, get: Get, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve_fresh()
    older = await with_an_older_rendition(client, get, images)
    with monkeypatch.context() as limited:  # the renders before and after have the time that a busy machine needs
        limited.setattr(client.server.app[RENDERER], "_timeout", 1.5)  # type: ignore[attr-defined]
        await frozen_worker(client)
        await is_the_older(await get(client, 1, "?w=20"), older)
    new = await get(client, 1, "?w=20")
    assert new.headers["ETag"] != older.headers["ETag"]
    assert shown(await new.read()).size == (20, 20)


async def test_full_queue_returns_the_older_rendition(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh(render={"queue": 1})
    older = await with_an_older_rendition(client, get, images)
    for contact in range(10, 21):
        os.link(images / "5.jpg", images / f"{contact}.jpg")
    started = await metric(client, RENDERS)
    pid = await frozen_worker(client)
    try:
        others = [asyncio.create_task(get(client, contact, "?w=30")) for contact in range(10, 20)]
        await until_metric(client, RENDERS, started + 1)
        await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)  # refused: the queue is full
        await is_the_older(await get(client, 1, "?w=20"), older)
        assert (await get(client, 20, "?w=30")).status == 503  # this size has no older rendition
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {(await other).status for other in others} == {200, 503}


@pytest.mark.usefixtures("spawned_renderers")
async def test_request_that_is_refused_by_time_gets_the_older_rendition(
    serve_fresh: Serve, get: Get, images: Path
) -> None:
    client = await serve_fresh(render={"queue_timeout": 3.0})
    older = await with_an_older_rendition(client, get, images)
    (images / "large").write_bytes(saved(quarters(4000, 3000), "JPEG"))
    for contact in range(10, 16):
        os.link(images / "large", images / f"{contact}.jpg")
        assert (await get(client, contact, "?w=30", If_None_Match="*")).status == 304
    pid = await frozen_worker(client)
    try:
        others = [asyncio.create_task(get(client, contact, "?w=30")) for contact in range(10, 16)]
        await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)  # refused: the orders before it take 2.4 s
        await is_the_older(await get(client, 1, "?w=20"), older)
        assert (await get(client, 1, "?w=21")).status == 503  # this size has no older rendition
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {(await other).status for other in others} == {200, 503}
