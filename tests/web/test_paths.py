"""A path with a slash at its end names the same resource (docs/contract.md, section 1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.web.test_coalescing import metric
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

PICTURE = "/api/v1/Contact/1/Image"
VARYING = {"Cache-Status", "Server-Timing", "Date"}


@pytest.mark.parametrize("query", ["", "?w=40", "?w=40&type=png"])
async def test_path_with_a_slash_shares_the_rendition(serve: Serve, query: str) -> None:
    client = await serve()
    answers = []
    for path in (PICTURE, f"{PICTURE}/", f"{PICTURE}/", f"{PICTURE}/", "/API/v1/contact/1/IMAGE/"):
        async with client.get(path + query, headers={"Accept": "*/*"}, allow_redirects=False) as answer:
            assert answer.status == 200
            fields = {name: value for name, value in answer.headers.items() if name not in VARYING}
            answers.append((fields, await answer.read()))
    assert answers == [answers[0]] * 5
    assert await metric(client, "contact_image_renders_started_total") == (1 if query else 0)


async def test_repeat_with_a_slash_is_a_hit(serve: Serve) -> None:
    client = await serve()
    for _ in range(3):
        full = await client.get(f"{PICTURE}/?w=40")
    assert full.headers["Cache-Status"].startswith("contact-image; hit; ttl=")
    known = {"If-None-Match": full.headers["ETag"]}
    assert (await client.get(f"{PICTURE}/?w=40", headers=known)).status == 304
    assert (await client.get(f"{PICTURE}?w=40", headers=known)).status == 304
    head = await client.head(f"{PICTURE}/?w=40")
    assert head.headers["Content-Length"] == full.headers["Content-Length"]
    part = await client.get(f"{PICTURE}/", headers={"Range": "bytes=0-9"})
    assert (part.status, len(await part.read())) == (206, 10)


@pytest.mark.parametrize("path", [PICTURE, "/api/v1/Contact/1/Imageinfo", "/api/v1/Contact/1/ImageInfo"])
async def test_path_with_a_slash_has_the_same_methods(serve: Serve, path: str) -> None:
    client = await serve()
    for method in ("GET", "HEAD", "OPTIONS", "PATCH", "PUT", "DELETE", "PURGE"):
        plain, slashed = [await client.request(method, each) for each in (path, f"{path}/")]
        assert slashed.status == plain.status
        assert slashed.headers.get("Allow") == plain.headers.get("Allow")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_operators_resources_accept_a_slash(serve: Serve, path: str) -> None:
    client = await serve()
    plain, slashed = [await client.get(each) for each in (path, f"{path}/")]
    assert plain.status == slashed.status == 200
    assert plain.headers["Content-Type"] == slashed.headers["Content-Type"]


async def test_writes_with_a_slash_change_the_same_picture(serve: Serve, images: Path) -> None:
    client = await serve(writes={"enabled": True})
    data = saved(quarters(), "PNG")
    assert (await client.get("/api/v1/Contact/7/Image")).status == 404
    stored = await client.put("/api/v1/Contact/7/Image/", data=data)
    assert stored.status == 200
    assert (images / "7.png").read_bytes() == data
    read = await client.get("/api/v1/Contact/7/Image")
    assert (read.headers["ETag"], await read.read()) == (stored.headers["ETag"], data)
    assert (await client.delete("/api/v1/Contact/7/Image/")).status == 204
    assert (await client.get("/api/v1/Contact/7/Image")).status == 404
    assert (await client.request("PURGE", "/api/v1/Contact/7/Image/")).status == 204


async def test_problem_has_the_path_of_the_request(serve: Serve) -> None:
    client = await serve()
    for path in ("/api/v1/Contact/404/Image/", "/api/v1/Contact/404/Image"):
        answer = await client.get(path)
        assert answer.status == 404
        assert json.loads(await answer.text())["instance"] == path
        assert answer.headers["Surrogate-Key"] == "contact-404"
