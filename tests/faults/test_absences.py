"""Two processes and one server: a picture that one process does not find is not taken from the other."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.pictures.trace import Trace
from service.pictures.values import ABSENCE, RECORD
from service.web.keys import CACHE
from tests.conftest import Serve
from tests.faults.conftest import RENDERS, Client, Pair, settled, subscribed
from tests.waiting import until
from tests.web.conftest import IMAGE, Get
from tests.web.test_coalescing import metric

pytestmark = pytest.mark.usefixtures("people")

QUERY = "?w=40&type=png"
_prefixes = itertools.count()


async def status(get: Get, client: Client, contact: int = 1, query: str = QUERY) -> int:
    code = (await get(client, contact, query)).status
    await settled(client)
    return code


async def becomes(get: Get, client: Client, expected: int) -> None:
    async def answered() -> bool:
        return await status(get, client) == expected

    await until(answered, 60, f"the answer is {expected}")


async def absence_is_noted(client: Client) -> bool:
    cache = client.server.app[CACHE]  # type: ignore[attr-defined]
    found = await cache.shared(1, (ABSENCE,), Trace())
    return bool(found and found[0])


async def until_deleted(get: Get, client: Client) -> None:
    async def deleted() -> bool:
        assert await status(get, client) == 200
        return not await absence_is_noted(client)

    await until(deleted, 60, "the absence is deleted")


@pytest.fixture
async def hosts(serve: Serve, people: Path, tmp_path: Path) -> Pair:
    """Two processes with a folder each."""
    shutil.copytree(people, tmp_path / "other")
    cache = {"prefix": f"absences-{os.getpid()}-{next(_prefixes)}", "missing_for": 1, "fresh_for": 3_600}
    one = await serve(cache=cache)
    other = await serve(cache=cache, images={"directory": tmp_path / "other"})
    await subscribed(one, other)
    return one, other


async def test_host_without_a_picture_does_not_take_it_from_the_other(hosts: Pair, get: Get, images: Path) -> None:
    """The other host looks for itself, and its renditions stay."""
    one, other = hosts
    assert [await status(get, client) for client in hosts] == [200, 200]
    renders = await metric(other, RENDERS)
    (images / "1.jpg").rename(images / "1.away")
    assert await status(get, one, query="?w=41") == 404  # the rendition is not cached, so the folder is read
    for _ in range(20):
        assert await status(get, other) == 200
        assert await status(get, one, 2) == 200
    (images / "1.away").rename(images / "1.jpg")
    await becomes(get, one, 200)
    assert await metric(other, RENDERS) == renders
    assert not await absence_is_noted(other)


async def test_process_that_sees_the_picture_deletes_the_absence(hosts: Pair, get: Get, images: Path) -> None:
    one, other = hosts
    assert [await status(get, client) for client in hosts] == [200, 200]
    (images / "1.jpg").unlink()
    assert await status(get, one, query="?w=41") == 404
    assert await absence_is_noted(one)
    await until_deleted(get, other)


async def test_picture_that_is_gone_for_all_is_404_in_every_process_and_its_renditions_stay(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, images: Path
) -> None:
    pair = await serve_two(cache={"missing_for": 1, "fresh_for": 3_600})
    assert [await status(get, client) for client in pair] == [200, 200]
    renders = sum([await metric(client, RENDERS) for client in pair])
    (images / "1.jpg").rename(images / "1.away")
    assert await status(get, pair[0], query="?w=41") == 404
    await becomes(get, pair[1], 404)
    for _ in range(20):
        assert [await status(get, client) for client in pair] == [404, 404]
    (images / "1.away").rename(images / "1.jpg")
    for client in pair:
        await becomes(get, client, 200)
    assert sum([await metric(client, RENDERS) for client in pair]) == renders


async def test_repeat_is_not_answered_from_a_doubted_record(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, images: Path
) -> None:
    """Nothing is in memory, so that each repeat looks the record up."""
    pair = await serve_two(cache={"missing_for": 1, "fresh_for": 3_600, "memory_bytes": 0})
    for _ in range(3):
        assert [await status(get, client) for client in pair] == [200, 200]
    (images / "1.jpg").unlink()
    assert await status(get, pair[0], query="?w=41") == 404
    await becomes(get, pair[1], 404)
    for _ in range(5):
        assert [await status(get, client) for client in pair] == [404, 404]


async def test_deleted_picture_leaves_nothing(pair: Pair, get: Get) -> None:
    for client in pair:
        assert await status(get, client) == 200
    assert (await pair[0].delete(IMAGE.format(1))).status == 204
    await becomes(get, pair[1], 404)
    cache = pair[0].server.app[CACHE]  # type: ignore[attr-defined]
    found = await cache.shared(1, (RECORD, ABSENCE), Trace())
    assert found is None or found[1] is None
    assert found is None or found[0] is None or not found[0].version


async def test_doubted_picture_is_served_while_the_own_folder_is_missing(
    hosts: Pair, get: Get, images: Path, tmp_path: Path
) -> None:
    one, other = hosts
    assert [await status(get, client) for client in hosts] == [200, 200]
    (images / "1.jpg").unlink()
    (tmp_path / "other").rename(tmp_path / "away")
    assert await status(get, one, query="?w=41") == 404
    for _ in range(10):
        assert await status(get, other) == 200
    (tmp_path / "away").rename(tmp_path / "other")
    await until_deleted(get, other)
