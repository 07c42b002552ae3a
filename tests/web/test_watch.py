"""Changes of files in the folder are seen in every process within a second, although the record is fresh."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.conftest import Serve
from tests.web.conftest import Get
from tools.pictures.drawing import saved, see_through

pytestmark = [
    pytest.mark.usefixtures("people"),
    pytest.mark.skipif(sys.platform != "linux", reason="changes are reported on Linux only"),
]

NEW = saved(see_through(90, 60), "PNG")
CHANGE_TIMEOUT = 60.0
"""Seconds to wait for a change. The service promises one second, but machines for tests are busy."""
_prefixes = itertools.count()


async def watching(serve: Serve, **cache: Any) -> TestClient[Any, Any]:
    return await serve(images={"watch": True}, cache={"fresh_for": 3_600, **cache})


async def until_answer(get: Get, client: TestClient[Any, Any], query: str, holds: Callable[[Any], bool]) -> float:
    """Repeat the request until *holds* accepts the answer; return the seconds until then."""
    begun = time.perf_counter()
    async with asyncio.timeout(CHANGE_TIMEOUT):
        while not holds(await get(client, 1, query)):
            await asyncio.sleep(0.02)
    return time.perf_counter() - begun


def replaced(path: Path) -> None:
    temporary = path.with_name(".upload-1")
    temporary.write_bytes(NEW)
    os.replace(temporary, path)


@pytest.mark.parametrize("query", ["", "?w=40", "?w=40&type=png"])
@pytest.mark.parametrize("change", [replaced, lambda path: path.write_bytes(NEW)], ids=["replaced", "overwritten"])
async def test_changed_picture_is_served(
    serve: Serve, get: Get, images: Path, query: str, change: Callable[[Path], None]
) -> None:
    client = await watching(serve)
    old = [(await get(client, 1, query)).headers["ETag"] for _ in range(3)]
    change(images / "1.jpg")
    await until_answer(get, client, query, lambda response: response.headers["ETag"] != old[-1])
    fresh = await get(await serve(), 1, query)
    assert await (await get(client, 1, query)).read() == await fresh.read()


async def test_touched_picture_has_the_new_date(serve: Serve, get: Get, images: Path) -> None:
    client = await watching(serve)
    await get(client, 1, "?w=40")
    os.utime(images / "1.jpg", (1_000_000_000, 1_000_000_000))
    date = "Sun, 09 Sep 2001 01:46:40 GMT"
    await until_answer(get, client, "?w=40", lambda response: response.headers["Last-Modified"] == date)


async def test_removed_picture_is_404_and_added_one_is_served(serve: Serve, get: Get, images: Path) -> None:
    client = await watching(serve, missing_for=3_600)
    assert (await get(client, 1)).status == 200
    (images / "1.jpg").unlink()
    await until_answer(get, client, "", lambda response: response.status == 404)
    (images / "001").mkdir()
    (images / "001" / "1.png").write_bytes(NEW)
    await until_answer(get, client, "", lambda response: response.status == 200)


async def test_picture_of_another_contact_stays_cached(serve: Serve, get: Get, images: Path) -> None:
    client = await watching(serve)
    for contact in (1, 2):
        tag = (await get(client, contact, "?w=40")).headers["ETag"]
    replaced(images / "1.jpg")
    await until_answer(get, client, "", lambda response: response.headers["Content-Type"] == "image/png")
    response = await get(client, 2, "?w=40")
    assert response.headers["ETag"] == tag
    assert "hit" in response.headers["Cache-Status"]


async def test_change_is_seen_by_every_process_that_shares_the_cache(serve: Serve, get: Get, images: Path) -> None:
    prefix = f"watch-{os.getpid()}-{next(_prefixes)}"
    clients = [await watching(serve, prefix=prefix) for _ in range(2)]
    old = [(await get(client, 1, "?w=40")).headers["ETag"] for client in clients for _ in range(2)]
    assert len(set(old)) == 1
    replaced(images / "1.jpg")
    for client in clients:
        await until_answer(get, client, "?w=40", lambda response: response.headers["ETag"] != old[0])


async def test_process_that_watches_informs_those_that_do_not(serve: Serve, get: Get, images: Path) -> None:
    prefix = f"watch-{os.getpid()}-{next(_prefixes)}"
    blind = await serve(cache={"fresh_for": 3_600, "prefix": prefix})
    await watching(serve, prefix=prefix)
    old = (await get(blind, 1, "?w=40")).headers["ETag"]
    replaced(images / "1.jpg")
    await until_answer(get, blind, "?w=40", lambda response: response.headers["ETag"] != old)
