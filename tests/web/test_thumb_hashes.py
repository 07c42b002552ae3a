"""`ThumbHash` in `Imageinfo`: made with the first render, kept for all processes, and ordered where it is missing."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from PIL import Image

from service.pictures.thumb_hashes import _WAIT
from service.pictures.values import THUMB_HASH_FIELD, Entry
from service.web.keys import CACHE
from tests.conftest import Serve
from tests.thumb_hashes import ThumbHash
from tests.waiting import until
from tests.web.conftest import IMAGE, Get
from tests.web.test_coalescing import frozen_worker, metric, until_metric
from tests.web.test_imageinfo import info
from tools.pictures.drawing import large, quarters, saved

Client = TestClient[Any, Any]
RENDERS = "contact_image_renders_started_total"
_prefixes = itertools.count()


async def hash_of(client: Client, contact: int) -> str | None:
    made: str | None = (await info(client, contact))["ThumbHash"]
    return made


async def until_hashed(client: Client, contact: int) -> str:
    """Return the hash, which a busy machine may make after the first request."""
    await until(lambda: hash_of(client, contact))
    made = await hash_of(client, contact)
    assert made is not None
    return made


async def hashes_of(client: Client, contacts: Iterable[int]) -> dict[str, str | None]:
    async with client.get(f"/api/v1/Contact/Imageinfo?ids={','.join(map(str, contacts))}") as response:
        assert response.status == 200
        return {contact: each["ThumbHash"] for contact, each in (await response.json()).items()}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("query", ["?w=50", "?w=20&h=50&fit=cover", "?w=50&v=1"])
async def test_first_render_makes_the_hash(serve: Serve, get: Get, query: str) -> None:
    client = await serve()
    assert (await get(client, 1, query)).status == 200
    made = await hash_of(client, 1)
    assert made is not None
    assert ThumbHash(made).landscape
    assert await metric(client, RENDERS) == 1


async def test_first_render_of_a_large_original_makes_the_hash(serve: Serve, get: Get, images: Path) -> None:
    (images / "7.jpg").write_bytes(saved(large(), "JPEG"))
    client = await serve()
    assert (await get(client, 7, "?w=300")).status == 200
    assert await hash_of(client, 7) is not None
    assert await metric(client, RENDERS) == 1


@pytest.mark.usefixtures("people")
async def test_missing_hashes_are_ordered_and_arrive(serve: Serve) -> None:
    client = await serve()
    landscape = [ThumbHash(await until_hashed(client, contact)).landscape for contact in (1, 2, 3, 4, 5)]
    assert landscape == [True, True, False, True, True]
    assert await metric(client, RENDERS) == 5
    assert None not in (await hashes_of(client, (1, 2, 3, 4, 5))).values()
    assert await metric(client, RENDERS) == 5


@pytest.mark.usefixtures("people")
async def test_hash_of_one_process_is_known_to_another(serve: Serve, get: Get) -> None:
    cache = {"prefix": f"hashes-{next(_prefixes)}"}
    one, other = await serve(cache=cache), await serve(cache=cache)
    await get(one, 1, "?w=50")
    await one.server.app[CACHE].settle()  # type: ignore[attr-defined]
    assert await until_hashed(other, 1) == await hash_of(one, 1)
    assert await metric(other, RENDERS) == 0


@pytest.mark.usefixtures("people")
async def test_hash_that_is_not_there_in_time_is_null_and_there_for_the_next_request(serve: Serve) -> None:
    client = await serve()
    pid = await frozen_worker(client)
    try:
        assert await hash_of(client, 1) is None
    finally:
        os.kill(pid, signal.SIGCONT)
    await until_metric(client, RENDERS, 1)
    assert await until_hashed(client, 1)
    assert await metric(client, RENDERS) == 1


async def test_many_missing_hashes_are_awaited_once(serve: Serve, images: Path) -> None:
    for contact in range(1, 101):
        (images / f"{contact}.jpg").write_bytes(saved(quarters(), "JPEG"))
    client = await serve()
    pid = await frozen_worker(client)
    try:
        begun = time.monotonic()
        assert set((await hashes_of(client, range(1, 101))).values()) == {None}
        assert _WAIT <= time.monotonic() - begun < 100 * _WAIT
    finally:
        os.kill(pid, signal.SIGCONT)

    async def are_there() -> bool:
        return None not in (await hashes_of(client, range(1, 101))).values()

    await until(are_there)


async def test_missing_hashes_do_not_refuse_or_delay_pictures(serve: Serve, get: Get, images: Path) -> None:
    for contact in range(1, 101):
        (images / f"{contact}.jpg").write_bytes(saved(quarters(), "JPEG"))
    client = await serve(render={"queue": 4})
    pid = await frozen_worker(client)
    try:
        await hashes_of(client, range(1, 101))
        asked = [asyncio.create_task(get(client, contact, "?w=50")) for contact in (97, 98, 99)]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in asked)  # a refusal would be there at once
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [(await task).status for task in asked] == [200] * 3
    assert await metric(client, RENDERS) <= 8


async def test_bounded_number_of_hashes_waits_and_known_ones_are_still_found(
    serve: Serve, get: Get, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.pictures.thumb_hashes._MOST", 2)
    for contact in range(1, 6):
        (images / f"{contact}.jpg").write_bytes(saved(quarters(), "JPEG"))
    cache = {"prefix": f"hashes-{next(_prefixes)}"}
    one, other = await serve(cache=cache), await serve(cache=cache)
    await get(one, 5, "?w=50")
    await one.server.app[CACHE].settle()  # type: ignore[attr-defined]
    pid = await frozen_worker(other)
    try:
        assert set((await hashes_of(other, range(1, 5))).values()) == {None}
        assert await until_hashed(other, 5)
    finally:
        os.kill(pid, signal.SIGCONT)
    await until_metric(other, RENDERS, 2)
    assert await metric(other, RENDERS) == 2


@pytest.mark.usefixtures("people")
async def test_purge_and_a_new_picture_drop_the_hash(serve: Serve, get: Get, images: Path) -> None:
    client = await serve(writes={"enabled": True})
    await get(client, 1, "?w=50")
    before = await hash_of(client, 1)
    assert (await client.request("PURGE", IMAGE.format(1))).status == 204
    assert await until_hashed(client, 1) == before
    assert await metric(client, RENDERS) == 2
    (images / "1.jpg").write_bytes(saved(quarters(120, 160), "JPEG"))
    assert not ThumbHash(await until_hashed(client, 1)).landscape
    assert (await client.put(IMAGE.format(1), data=saved(Image.new("RGB", (90, 60)), "PNG"))).status == 200
    assert ThumbHash(await until_hashed(client, 1)).landscape


@pytest.mark.parametrize("data", [b"hello", saved(quarters(), "PNG")[:100], b""], ids=["text", "cut", "empty"])
async def test_picture_that_cannot_be_rendered_has_no_hash_and_is_tried_once(
    serve: Serve, images: Path, data: bytes
) -> None:
    (images / "7.png").write_bytes(data)
    client = await serve()
    for _ in range(3):
        assert await hash_of(client, 7) is None
        await asyncio.sleep(0.3)
    assert await metric(client, RENDERS) <= 1


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("body", [b"<script>", b"A" * 10_000, b"\xff", b""], ids=["text", "long", "no text", "empty"])
async def test_value_of_a_stranger_is_not_sent(serve: Serve, get: Get, body: bytes) -> None:
    client = await serve()
    await get(client, 1, "?w=50")
    cache = client.server.app[CACHE]  # type: ignore[attr-defined]
    version = cache.local(1, THUMB_HASH_FIELD).version
    cache.keep(1, THUMB_HASH_FIELD, Entry(version, time.time(), "", body), cache.epoch(1))
    assert await hash_of(client, 1) is None
