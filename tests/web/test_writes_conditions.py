"""Conditional writes: lost updates are refused, with several processes too (docs/contract.md, sections 1 and 6)."""

from __future__ import annotations

import asyncio
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.web.conftest import Get
from tests.web.test_writes import JPEG, OTHER, put
from tools.pictures.drawing import quarters, saved

ON = {"enabled": True}


@pytest.fixture
def seven(images: Path) -> Path:
    path = images / "7.jpg"
    path.write_bytes(JPEG)
    return path


async def test_if_match_accepts_the_etag_of_get_and_put(serve: Serve, get: Get, seven: Path) -> None:
    client = await serve(writes=ON)
    first = (await get(client, 7)).headers["ETag"]
    answer = await put(client, 7, OTHER, If_Match=first)
    assert answer.status == 200
    second = answer.headers["ETag"]
    assert second != first
    assert (await put(client, 7, JPEG, If_Match=first)).status == 412
    assert (await put(client, 7, None, "DELETE", If_Match=first)).status == 412
    assert (await put(client, 7, JPEG, If_Match=f"W/{second}")).status == 412
    assert (await put(client, 7, JPEG, If_Match=second.strip('"'))).status == 412
    assert seven.read_bytes() == OTHER
    assert (await put(client, 7, None, "DELETE", If_Match=f'"another", {second}')).status == 204
    assert not seven.exists()


@pytest.mark.parametrize(("kind", "suffix"), [("BMP", "bmp"), ("TIFF", "tif")])
async def test_etag_of_a_write_is_that_of_get_for_every_stored_format(
    serve: Serve, get: Get, images: Path, kind: str, suffix: str
) -> None:
    (images / f"7.{suffix}").write_bytes(saved(quarters(), kind))
    client = await serve(writes=ON, images={"as_stored": "clean"})
    answer = await put(client, 7, JPEG, If_Match=(await get(client, 7)).headers["ETag"])
    assert answer.status == 200
    assert (await get(client, 7)).headers["ETag"] == answer.headers["ETag"]


async def test_star_matches_any_existing_picture(serve: Serve, seven: Path) -> None:
    client = await serve(writes=ON)
    assert (await put(client, 7, OTHER, If_None_Match="*")).status == 412
    assert (await put(client, 8, OTHER, If_Match="*")).status == 412
    assert (await put(client, 8, OTHER, If_None_Match="*")).status == 200
    assert (await put(client, 7, OTHER, If_Match="*")).status == 200


async def test_if_unmodified_since_compares_dates(serve: Serve, get: Get, seven: Path) -> None:
    client = await serve(writes=ON)
    date = (await get(client, 7)).headers["Last-Modified"]
    before = formatdate(parsedate_to_datetime(date).timestamp() - 1, usegmt=True)
    assert (await put(client, 7, OTHER, If_Unmodified_Since=before)).status == 412
    assert (await put(client, 7, OTHER, If_Unmodified_Since=date)).status == 200
    assert (await put(client, 7, OTHER, If_Unmodified_Since=date)).status == 412


async def test_very_long_condition_is_not_ignored(serve: Serve, seven: Path) -> None:
    client = await serve(writes=ON)
    tags = [f'"{"x" * 4_000}{number}"' for number in range(6)]
    from multidict import CIMultiDict

    headers = CIMultiDict([("Content-Type", "image/jpeg")])
    for tag in tags:
        headers.add("If-Match", tag)
    answer = await client.put("/api/v1/Contact/7/Image", data=OTHER, headers=headers)
    assert answer.status == 412
    assert seven.read_bytes() == JPEG


async def test_one_of_many_writers_with_the_same_etag_succeeds(serve: Serve, get: Get, seven: Path) -> None:
    """Two services share a folder, as two processes do: only the lock of the folder separates their writes."""
    clients = [await serve(writes=ON) for _ in range(2)]
    tag = (await get(clients[0], 7)).headers["ETag"]
    pictures = [saved(quarters(100 + 10 * number, 100), "JPEG") for number in range(12)]
    answers = await asyncio.gather(
        *(put(clients[number % 2], 7, data, If_Match=tag) for number, data in enumerate(pictures))
    )
    assert sorted(answer.status for answer in answers) == [200] + 11 * [412]
    (winner,) = (number for number, answer in enumerate(answers) if answer.status == 200)
    assert seven.read_bytes() == pictures[winner]


async def test_unconditional_writers_all_succeed_and_one_is_last(serve: Serve, get: Get, seven: Path) -> None:
    client = await serve(writes=ON)
    pictures = [saved(quarters(100 + 10 * number, 100), "JPEG") for number in range(10)]
    answers = await asyncio.gather(*(put(client, 7, data) for data in pictures))
    assert {answer.status for answer in answers} == {200}
    assert seven.read_bytes() in pictures
    picture = await get(client, 7)
    assert await picture.read() == seven.read_bytes()
    assert picture.headers["ETag"] in {answer.headers["ETag"] for answer in answers}
