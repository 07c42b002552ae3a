"""Conditional requests: when the answer is 304, and when it must not be (docs/contract.md, section 6)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.web.conftest import Get
from tools.pictures.drawing import saved, see_through

pytestmark = pytest.mark.usefixtures("people")


@pytest.mark.parametrize("shape", ["{}", "W/{}", '"other", {}', '"a,b" , W/{},', "*"])
async def test_matching_etag_is_304_with_the_headers_that_caches_need(serve: Serve, get: Get, shape: str) -> None:
    client = await serve()
    full = await get(client, 1, "?w=40")
    response = await get(client, 1, "?w=40", If_None_Match=shape.format(full.headers["ETag"]))
    assert response.status == 304
    assert await response.read() == b""
    for name in ("ETag", "Cache-Control", "Vary", "Last-Modified", "Surrogate-Key"):
        assert response.headers[name] == full.headers[name]


async def test_other_etag_is_200(serve: Serve, get: Get) -> None:
    client = await serve()
    webp = await get(client, 1, "?w=40&type=webp")
    response = await get(client, 1, "?w=40&type=png", If_None_Match=webp.headers["ETag"])
    assert response.status == 200


async def test_if_modified_since_is_304_only_for_the_same_date(serve: Serve, get: Get) -> None:
    client = await serve()
    date = (await get(client, 1)).headers["Last-Modified"]
    assert (await get(client, 1, If_Modified_Since=date)).status == 304
    assert (await get(client, 1, If_Modified_Since="Fri, 01 Jan 2100 00:00:00 GMT")).status == 200
    assert (await get(client, 1, If_Modified_Since="yesterday")).status == 200
    assert (await get(client, 1, If_Modified_Since=date, If_None_Match='"other"')).status == 200


async def test_304_needs_no_render(serve: Serve, get: Get, images: Path) -> None:
    first = await serve()
    tag = (await get(first, 1, "?w=40")).headers["ETag"]
    second = await serve()  # its cache is empty
    response = await get(second, 1, "?w=40", If_None_Match=tag)
    assert response.status == 304
    assert await renders(second) == 0


async def test_restored_older_picture_is_not_304(serve: Serve, get: Get, images: Path) -> None:
    client = await serve(cache={"fresh_for": 1})
    newer = await get(client, 1)
    old = saved(see_through(), "PNG")
    (images / "1.jpg").write_bytes(old)
    os.utime(images / "1.jpg", (1_000_000_000, 1_000_000_000))
    second = await serve()
    headers = {"If_None_Match": newer.headers["ETag"], "If_Modified_Since": newer.headers["Last-Modified"]}
    response = await get(second, 1, **headers)
    assert response.status == 200
    assert await response.read() == old


async def renders(client: object) -> float:
    text = await (await client.get("/metrics")).text()  # type: ignore[attr-defined]
    return float(
        next(line.split()[1] for line in text.splitlines() if line.startswith("contact_image_renders_started_total"))
    )
