"""What is served for want of better: the stale and the former, while the store fails or nothing can be rendered."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from service.wiring.app import CACHE
from tests.conftest import Serve
from tests.pictures_in_code import shown
from tests.web.ageing import OLD, SHORT, STALE, Client, Moody, age, change, ttl, until
from tests.web.ageing import serve_fresh as serve_fresh
from tests.web.ageing import store as store
from tests.web.conftest import Get
from tests.web.test_coalescing import frozen_worker, metric, until_metric

pytestmark = pytest.mark.usefixtures("people")

RENDERS = "contact_image_renders_started_total"


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
async def test_while_the_store_cannot_be_asked_the_stale_is_served_for_so_long(
    serve_fresh: Serve, get: Get, store: Moody, hangs: bool
) -> None:
    client = await serve_fresh(adapters={"store": store}, http={"stale_if_error": 600})
    truth = await get(client, 1, "?w=20")
    store.patience = 0.2
    store.fails = not hangs
    if hangs:
        store.well.clear()
    for seconds in (STALE, OLD):
        await age(client, seconds)
        looks, begun = store.looks, time.monotonic()
        for _ in range(30):
            response = await get(client, 1, "?w=20")
            assert ttl(response) < 0
            assert response.headers["Cache-Control"] == "public, max-age=5, stale-if-error=600"
            assert await response.read() == await truth.read()
        assert store.looks - looks <= 4 + time.monotonic() - begun  # three times, and then once a second
    await age(client, 600)
    refused = await get(client, 1, "?w=20")
    assert (refused.status, refused.headers["Cache-Control"]) == (504 if hangs else 502, "no-store")
    store.fails = False
    store.well.set()

    async def well_again() -> bool:
        response = await get(client, 1, "?w=20")
        return response.headers["Cache-Control"] != SHORT and response.status == 200

    await until(well_again)
    assert await metric(client, RENDERS) == 1


async def test_a_folder_that_is_gone_is_no_absence_of_pictures(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh()
    truth = await get(client, 1, "?w=20")
    images.rename(images.with_name("elsewhere"))
    await age(client, OLD)
    response = await get(client, 1, "?w=20")
    assert ttl(response) < 0
    assert await response.read() == await truth.read()
    assert (await get(client, 2, "?w=20")).status == 502


async def test_that_a_picture_is_missing_is_believed_while_the_store_fails(
    serve_fresh: Serve, get: Get, store: Moody, images: Path
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
            await asyncio.sleep(0.05)  # until the store is asked again: once a second


async def with_a_former_rendition(client: Client, get: Get, images: Path) -> ClientResponse:
    """What is cached of the former picture; that it is another one by now has been seen."""
    former = await get(client, 1, "?w=20")
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    change(images)
    await age(client, OLD)
    assert (await get(client, 1)).headers["Content-Length"] != former.headers["Content-Length"]
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    return former


async def is_the_former(response: ClientResponse, former: ClientResponse) -> None:
    assert response.status == 200
    assert ttl(response) < 0
    assert response.headers["Cache-Control"] == SHORT
    assert response.headers["ETag"] == former.headers["ETag"]
    assert "Last-Modified" not in response.headers
    assert await response.read() == await former.read()


async def test_a_render_past_its_time_gives_the_former_rendition(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh(render={"timeout": 1.5})
    former = await with_a_former_rendition(client, get, images)
    await frozen_worker(client)
    await is_the_former(await get(client, 1, "?w=20"), former)
    async with asyncio.timeout(60):
        while (await get(client, 2, "?w=21")).status != 200:  # until another process has taken its place
            await asyncio.sleep(0.05)
    new = await get(client, 1, "?w=20")
    assert new.headers["ETag"] != former.headers["ETag"]
    assert shown(await new.read()).size == (20, 20)


async def test_a_full_queue_gives_the_former_rendition(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh(render={"queue": 1})
    former = await with_a_former_rendition(client, get, images)
    for contact in range(10, 21):
        os.link(images / "5.jpg", images / f"{contact}.jpg")
    started = await metric(client, RENDERS)
    pid = await frozen_worker(client)
    try:
        others = [asyncio.create_task(get(client, contact, "?w=30")) for contact in range(10, 20)]
        await until_metric(client, RENDERS, started + 1)
        await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)  # refused: the queue is full
        await is_the_former(await get(client, 1, "?w=20"), former)
        assert (await get(client, 20, "?w=30")).status == 503  # of this one there is none
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {(await other).status for other in others} == {200, 503}
