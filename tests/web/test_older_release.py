"""An older release, whose versions contain the inode, shares the cache: its records are misses without errors."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from service.pictures import records
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.trace import Trace
from service.pictures.values import RECORD, Entry
from service.web.keys import CACHE
from tests.conftest import Serve
from tests.pixels import shown
from tests.web.conftest import Get
from tools.pictures.drawing import large, quarters, saved

JPEG = saved(quarters(), "JPEG")


@pytest.fixture(params=["small", "streamed"])
def data(request: pytest.FixtureRequest) -> bytes:
    """A JPEG that is sent at once, and one that is streamed."""
    return JPEG if request.param == "small" else saved(large(), "JPEG", quality=95)


def older(path: Path) -> tuple[str, bytes]:
    """Return the version and the record of the file as that release writes them."""
    status = path.stat()
    version = f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    facts = {
        "contact": int(path.stem),
        "version": version,
        "size": status.st_size,
        "modified": int(status.st_mtime),
        "format": "JPEG",
        "alpha": False,
        "fault": None,
        "strikes": 0,
    }
    return version, json.dumps(facts).encode()


def cache_of(client: Any) -> PictureCache:
    return client.server.app[CACHE]  # type: ignore[no-any-return]


@pytest.mark.parametrize("query", ["", "?w=20&type=png"])
async def test_records_of_an_older_release_are_misses(
    serve: Serve, get: Get, images: Path, data: bytes, query: str
) -> None:
    path = images / "1.jpg"
    path.write_bytes(data)
    version, record = older(path)
    client, untouched = await serve(), await serve()
    cache = cache_of(client)
    token = await cache.fence(1, Trace())
    for field, body in ((RECORD, record), ("stored", b"another picture")):
        await cache.put(1, field, Entry(version, time.time(), "", body), token, life=1_000)
    await cache.settle()
    response = await get(client, 1, query)
    assert response.status == 200
    expected = await get(untouched, 1, query)
    assert response.headers["ETag"] == expected.headers["ETag"]
    assert await response.read() == await expected.read()
    assert shown(await response.read()).size == shown(await expected.read()).size
    await cache.settle()
    entry = cache.local(1, RECORD)
    assert entry is not None
    original = records.decode(entry.body)
    assert original is not None
    assert (original.version, original.dimensions) == (entry.version, shown(data).size)
    assert entry.version != version


async def test_purge_removes_records_of_an_older_release(serve: Serve, images: Path) -> None:
    path = images / "1.jpg"
    path.write_bytes(JPEG)
    version, record = older(path)
    client = await serve(writes={"enabled": True})
    cache = cache_of(client)
    token = await cache.fence(1, Trace())
    await cache.put(1, RECORD, Entry(version, time.time(), "", record), token, life=1_000)
    await cache.settle()
    assert (await cache.shared(1, (RECORD,), Trace())) != [None]
    assert (await client.request("PURGE", "/api/v1/Contact/1/Image")).status == 204
    assert (await cache.shared(1, (RECORD,), Trace())) == [None]
