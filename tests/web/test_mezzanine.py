"""Mezzanines in the running service: the first render makes one, and the next renders use it."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis

from service.pictures.trace import Trace
from service.pictures.values import Entry, MezzanineOwner
from service.web.keys import CACHE, RENDERER
from tests.conftest import Serve, Valkey
from tests.pixels import near, shown
from tests.web.conftest import Get
from tests.web.test_coalescing import metric, until_metric
from tools.pictures.drawing import BLUE, RED, large, quarters, saved

_numbers = itertools.count()
FROM_MEZZANINE = "contact_image_renders_from_mezzanine_total"


@cache
def photograph() -> bytes:
    return saved(large(), "JPEG", quality=90)


@pytest.fixture
def original(images: Path) -> Path:
    """The file of contact 7, a large JPEG."""
    path = images / "7.jpg"
    path.write_bytes(photograph())
    return path


async def keys(server: Valkey, pattern: str) -> dict[str, int]:
    """Return the keys and their remaining seconds."""
    async with Redis.from_url(server.url, decode_responses=True) as redis:
        return {key: await redis.ttl(key) for key in await redis.keys(pattern)}


async def until_stored(client: TestClient[Any, Any], server: Valkey, prefix: str) -> None:
    """Wait until the mezzanine of contact 7 is in the cache. It is put there after the answer."""
    async with asyncio.timeout(60):
        while f"{prefix}:{{7}}:mezzanine" not in await keys(server, f"{prefix}:*"):
            await asyncio.sleep(0.01)


async def test_renders_after_the_first_use_the_mezzanine(
    serve: Serve, get: Get, original: Path, shared_valkey: Valkey
) -> None:
    client = await serve(cache={"prefix": "until_stored", "mezzanine_for": 100})
    assert (await get(client, 7, "?w=300")).status == 200
    await until_stored(client, shared_valkey, "until_stored")
    lives = await keys(shared_valkey, "until_stored:*")
    assert lives["until_stored:{7}:mezzanine"] <= 100 < lives["until_stored:{7}"]
    original.unlink()
    for query, size in (("?w=64", (64, 48)), ("?w=200&h=200&fit=cover", (200, 200)), ("?h=300&type=webp", (400, 300))):
        response = await get(client, 7, query)
        assert response.status == 200
        seen = shown(await response.read()).convert("RGB")
        assert seen.size == size
        assert near(seen.getpixel((5, 5)), RED, 50)
    assert await metric(client, FROM_MEZZANINE) == 3


async def test_another_process_uses_the_mezzanine(
    serve: Serve, get: Get, original: Path, shared_valkey: Valkey
) -> None:
    here = await serve(cache={"prefix": "fleet"})
    await get(here, 7, "?w=300")
    await until_stored(here, shared_valkey, "fleet")
    there = await serve(cache={"prefix": "fleet"})
    for width in range(150, 170):  # after a lookup that times out the original is read
        seen = shown(await (await get(there, 7, f"?w={width}")).read())
        assert seen.width == width
        if await metric(there, FROM_MEZZANINE):
            break
    else:
        pytest.fail("the mezzanine was never used")


async def test_simultaneous_sizes_wait_for_the_mezzanine(serve: Serve, get: Get, original: Path) -> None:
    client = await serve()
    pool = client.server.app[RENDERER]  # type: ignore[attr-defined]
    await pool.probe()
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    first = asyncio.create_task(get(client, 7, "?w=100"))
    await until_metric(client, "contact_image_renders_started_total", 1)
    others = [asyncio.create_task(get(client, 7, f"?w={width}")) for width in range(101, 107)]
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGCONT)
    assert {(await each).status for each in [first, *others]} == {200}
    assert await metric(client, FROM_MEZZANINE) == 6
    assert await metric(client, "contact_image_store_reads_total") == 2  # one lookup, and one read


async def test_large_renditions_do_not_wait_for_a_mezzanine(serve: Serve, get: Get, original: Path) -> None:
    client = await serve(render={"workers": 2})
    pool = client.server.app[RENDERER]  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        while len(pool.pids) < 2:
            await asyncio.sleep(0.005)
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    large = [asyncio.create_task(get(client, 7, f"?w={width}")) for width in (2000, 2001)]
    small = asyncio.create_task(get(client, 7, "?w=100"))
    await until_metric(client, "contact_image_renders_started_total", 2)
    for pid in pool.pids:
        os.kill(pid, signal.SIGCONT)
    assert {(await each).status for each in [small, *large]} == {200}


async def test_changed_picture_is_never_rendered_from_the_old_mezzanine(serve: Serve, get: Get, original: Path) -> None:
    client = await serve(cache={"fresh_for": 1}, http={"stale_while_revalidate": 0})
    await get(client, 7, "?w=100")
    await get(client, 7, "?w=101")
    assert await metric(client, FROM_MEZZANINE) == 1
    blue = quarters(2400, 1800)
    blue.paste(BLUE, (0, 0, 2400, 1800))
    original.write_bytes(saved(blue, "JPEG"))
    os.utime(original, ns=(1, 1))
    await asyncio.sleep(1.1)  # until the record is stale
    seen = shown(await (await get(client, 7, "?w=102")).read()).convert("RGB")
    assert near(seen.getpixel((5, 5)), BLUE)


async def test_damaged_mezzanine_is_replaced_by_the_original(
    serve: Serve, get: Get, original: Path, shared_valkey: Valkey
) -> None:
    client = await serve(cache={"prefix": "damaged"})
    await get(client, 7, "?w=100")
    await until_stored(client, shared_valkey, "damaged")
    async with Redis.from_url(shared_valkey.url) as redis:
        key = "damaged:{7}:mezzanine"
        (field,) = await redis.hkeys(key)
        await redis.hset(key, field, b"garbage")
    other = await serve(cache={"prefix": "damaged"})
    assert shown(await (await get(other, 7, "?w=101")).read()).size == (101, 76)
    assert await metric(other, FROM_MEZZANINE) == 0


@pytest.mark.parametrize(
    ("detail", "body"),
    [
        (None, b"\xff\xd8\xff no picture"),
        (None, saved(quarters(5000, 3750), "JPEG")),
        (None, saved(quarters(1024, 768), "JPEG", progressive=True)),
        ("0x0 0x0", b""),
        ("9" * 5000 + "x1 1x1", b""),
        ("1x99999 1x9999", b""),
        ("no sizes", b""),
    ],
    ids=["no picture", "a large one", "a slow one", "nothing", "digits", "absurd", "words"],
)
async def test_unreadable_mezzanine_is_not_a_fault_of_the_original(
    serve: Serve, get: Get, original: Path, shared_valkey: Valkey, detail: str | None, body: bytes
) -> None:
    prefix = f"foreign-{next(_numbers)}"
    client = await serve(cache={"prefix": prefix})
    await get(client, 7, "?w=100")
    await until_stored(client, shared_valkey, prefix)
    cache = client.server.app[CACHE]  # type: ignore[attr-defined]
    async with Redis.from_url(shared_valkey.url) as redis:
        (field,) = await redis.hkeys(f"{prefix}:{{7}}:mezzanine")
    owner, trace = MezzanineOwner(7), Trace()
    entry = await cache.get(owner, field.decode(), trace)
    foreign = Entry(entry.version, entry.stored_at, entry.detail if detail is None else detail, body or entry.body)
    await cache.put(owner, field.decode(), foreign, await cache.fence(owner, trace), life=100)
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    for width in (101, 102):
        seen = shown(await (await get(client, 7, f"?w={width}")).read())
        assert seen.width == width


async def test_small_originals_have_no_mezzanine(serve: Serve, get: Get, images: Path, shared_valkey: Valkey) -> None:
    (images / "7.jpg").write_bytes(saved(large(1600, 1200), "JPEG", quality=90))
    client = await serve(cache={"prefix": "small"})
    for width in (100, 101, 102):
        assert (await get(client, 7, f"?w={width}")).status == 200
    assert await metric(client, FROM_MEZZANINE) == 0
    assert "small:{7}:mezzanine" not in await keys(shared_valkey, "small:*")


async def test_mezzanines_can_be_switched_off(serve: Serve, get: Get, original: Path, shared_valkey: Valkey) -> None:
    client = await serve(cache={"prefix": "none", "mezzanine_for": 0})
    for width in (100, 101):
        assert (await get(client, 7, f"?w={width}")).status == 200
    assert await metric(client, FROM_MEZZANINE) == 0
    assert not [key for key in await keys(shared_valkey, "none:*") if "mezzanine" in key]


async def test_mezzanine_without_a_shared_cache_stays_in_memory(serve: Serve, get: Get, original: Path) -> None:
    client = await serve(url="unix:///nowhere/at/all.sock")
    await get(client, 7, "?w=100")
    assert (await get(client, 7, "?w=101")).status == 200
    assert await metric(client, FROM_MEZZANINE) == 1
