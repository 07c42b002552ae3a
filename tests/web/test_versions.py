"""`v`: a URL that names the version of its picture is kept for a year, and one with another version shortly."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import ClientResponse

from tests.conftest import Serve
from tests.web.conftest import Client, Get
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

YEAR = "public, max-age=31536000, immutable"


async def number(client: Client, contact: int) -> int:
    async with client.get(f"/api/v1/Contact/{contact}/Imageinfo") as answer:
        return int((await answer.json())["BlobId"])


def control(response: ClientResponse) -> str:
    return response.headers["Cache-Control"]


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("query", ["", "&w=80", "&w=80&type=webp", "&w=20&dpr=2"])
async def test_picture_of_the_named_version_is_immutable(serve: Serve, get: Get, near: bool, query: str) -> None:
    client = await serve(images={"near": near})
    version = await number(client, 1)
    for _ in range(4):  # made, then by a look, then by the index
        answer = await get(client, 1, f"?v={version}{query}")
        assert (answer.status, control(answer)) == (200, YEAR)
        again = await get(client, 1, f"?v={version}{query}", If_None_Match=answer.headers["ETag"])
        assert (again.status, control(again)) == (304, YEAR)
    plain = await get(client, 1, f"?{query}")
    assert plain.headers["ETag"] == answer.headers["ETag"]
    assert control(plain) == "public, max-age=300, s-maxage=3600, stale-while-revalidate=60, stale-if-error=86400"


async def test_part_of_the_named_version_is_immutable(serve: Serve, get: Get) -> None:
    client = await serve()
    answer = await get(client, 1, f"?v={await number(client, 1)}", Range="bytes=0-9")
    assert (answer.status, control(answer)) == (206, YEAR)


@pytest.mark.parametrize("text", ["1", "x", "%E0%80", "0", "-1", "1&v=2", "a" * 2000])
@pytest.mark.parametrize("query", ["", "&w=80"])
async def test_other_version_is_kept_as_long_as_a_record(serve: Serve, get: Get, text: str, query: str) -> None:
    client = await serve(cache={"fresh_for": 20.0})
    for _ in range(3):
        answer = await get(client, 1, f"?v={text}{query}")
        assert answer.status == 200
        assert control(answer) == "public, max-age=20, s-maxage=20, stale-while-revalidate=0, stale-if-error=0"


async def test_old_picture_is_not_kept_under_the_new_number(serve: Serve, get: Get, people: Path) -> None:
    client = await serve(cache={"fresh_for": 30.0}, images={"watch": False})
    old = await number(client, 1)
    before = await get(client, 1, f"?v={old}&w=80")
    assert control(before) == YEAR
    (people / "1.jpg").write_bytes(saved(quarters(120, 160), "JPEG"))
    new = await number(client, 1)
    assert new != old
    for _ in range(3):  # the record of the old picture is still fresh
        after = await get(client, 1, f"?v={new}&w=80")
        assert after.headers["ETag"] == before.headers["ETag"]
        assert control(after) == "public, max-age=30, s-maxage=30, stale-while-revalidate=0, stale-if-error=0"


async def test_empty_version_is_none(serve: Serve, get: Get) -> None:
    client = await serve()
    assert control(await get(client, 1, "?v=")).startswith("public, max-age=300")


async def test_placeholder_and_missing_picture_are_kept_shortly(serve: Serve, get: Get) -> None:
    client = await serve()
    assert control(await get(client, 404, "?v=7&ifBlank=Default")) == "public, max-age=30"
    assert control(await get(client, 404, "?v=7")) == "public, max-age=5"
