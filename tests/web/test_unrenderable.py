"""Pictures that cannot be rendered: `ifBlank` replaces them, and no other error (docs/contract.md, section 4)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from service.errors import RenderTimedOut, StoreFailed, StoreTimedOut
from service.formats import Format
from service.pictures.values import Original
from tests.conftest import Serve
from tests.failing_writers import PoolWithFailingWriters
from tests.pixels import shown
from tests.stores.memory_store import MemoryStore
from tests.web.conftest import IMAGE, Get
from tests.web.test_blank import KINDS
from tests.web.test_coalescing import metric
from tools.pictures.drawing import quarters, saved
from tools.pictures.png import png

PLACEHOLDERS = "contact_image_unrenderable_placeholders_total"
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@pytest.fixture(autouse=True)
def broken(images: Path) -> Path:
    """1: corrupt, found by the render; 2: not a picture, found by its first bytes; 3: a bomb; 9: sound."""
    whole = saved(quarters(160, 120), "PNG")
    (images / "1.png").write_bytes(whole[:-40])
    (images / "2.jpg").write_bytes(b"no picture at all")
    (images / "3.png").write_bytes(png(60_000, 60_000, pixels=b""))
    (images / "9.png").write_bytes(whole)
    return images


@pytest.mark.parametrize("contact", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
async def test_placeholder_replaces_a_fault_found_at_select_or_at_render(
    serve: Serve, get: Get, contact: int, kind: str
) -> None:
    client = await serve()
    missing = await get(client, 404, f"?ifBlank={kind}&w=50")
    for turn in range(3):
        response = await get(client, contact, f"?ifBlank={kind}&w=50")
        assert response.status == 200
        assert await response.read() == await missing.read()
        assert response.headers["ETag"] == missing.headers["ETag"]
        assert response.headers["Cache-Control"] == missing.headers["Cache-Control"] == "public, max-age=30"
        assert response.headers["Cache-Status"].endswith("; detail=unrenderable")
        assert response.headers["Surrogate-Key"] == response.headers["Cache-Tag"] == f"contact-{contact}"
        assert "Last-Modified" not in response.headers
        assert "Accept-Ranges" not in response.headers
        assert response.headers.get("Content-Language") == missing.headers.get("Content-Language")
        assert await metric(client, PLACEHOLDERS) == turn + 1
    assert await metric(client, "contact_image_renders_started_total") <= 1
    assert (await get(client, contact, "?w=50")).status == 422
    assert (await get(client, contact, "?w=50&ifBlank=Null")).status == 422


@pytest.mark.parametrize("contact", [1, 2])
async def test_head_and_304_of_a_placeholder_agree_with_get(serve: Serve, get: Get, contact: int) -> None:
    tag = (await get(await serve(), 404, "?ifBlank=Default&w=50", Accept=CHROME)).headers["ETag"]
    for first in ("HEAD", "304", "GET"):
        client = await serve()
        for how in (first, "GET", "HEAD", "304", "GET"):
            sent = {"If_None_Match": tag} if how == "304" else {}
            method = "HEAD" if how == "HEAD" else "GET"
            answer = await get(client, contact, "?ifBlank=Default&w=50", method=method, Accept=CHROME, **sent)
            assert (answer.status, answer.headers["ETag"]) == (304 if how == "304" else 200, tag)
            assert answer.headers["Cache-Status"].endswith("; detail=unrenderable")
            assert answer.headers["Surrogate-Key"] == f"contact-{contact}"


async def test_placeholder_varies_on_the_language_of_its_words(serve: Serve, get: Get) -> None:
    client = await serve()
    swedish = await get(client, 1, "?ifBlank=SrNoPhoto&w=50", SO_Language="sv")
    english = await get(client, 1, "?ifBlank=SrNoPhoto&w=50", SO_Language="en")
    assert swedish.headers["Vary"] == "Accept, Accept-Language, SO-Language, SO-Culture"
    assert await swedish.read() != await english.read()


async def test_stored_bytes_are_sent_although_no_rendition_can_be_made(serve: Serve, get: Get, broken: Path) -> None:
    client = await serve()
    assert (await get(client, 1, "?ifBlank=Default&w=50")).status == 200
    for _ in range(2):
        response = await get(client, 1, "?ifBlank=Default")
        assert await response.read() == (broken / "1.png").read_bytes()
    nothing = await get(client, 2, "?ifBlank=Default", Range="bytes=0-3")
    assert (nothing.status, shown(await nothing.read()).size) == (200, (128, 128))


async def test_placeholder_format_and_json_are_negotiated(serve: Serve, get: Get) -> None:
    client = await serve()
    assert (await get(client, 1, "?ifBlank=0&w=50", Accept="image/webp")).content_type == "image/webp"
    assert (await get(client, 1, "?ifBlank=0&w=50&type=gif")).content_type == "image/gif"
    assert (await get(client, 1, "?ifBlank=0&w=50", Accept="application/json")).content_type == "application/json"
    assert (await get(client, 1, "?ifBlank=0&w=50", Accept="text/html")).status == 406


async def test_placeholder_ends_when_the_picture_is_replaced(serve: Serve, get: Get) -> None:
    client = await serve(writes={"enabled": True})
    for _ in range(3):
        assert "unrenderable" in (await get(client, 1, "?ifBlank=Default&w=50&type=png")).headers["Cache-Status"]
    placeholder = await get(client, 1, "?ifBlank=Default&w=50&type=png")
    put = await client.put(IMAGE.format(1), data=saved(quarters(80, 60), "PNG"))
    assert put.status == 200
    for sent in ({}, {"If_None_Match": placeholder.headers["ETag"]}, {}):
        response = await get(client, 1, "?ifBlank=Default&w=50&type=png", **sent)
        assert (response.status, shown(await response.read()).size) == (200, (50, 38))
        assert "unrenderable" not in response.headers["Cache-Status"]
        assert response.headers["ETag"] != placeholder.headers["ETag"]


async def test_placeholder_begins_when_the_picture_is_replaced_by_a_corrupt_one(
    serve: Serve, get: Get, broken: Path
) -> None:
    client = await serve(writes={"enabled": True})
    for _ in range(3):
        assert (await get(client, 9, "?ifBlank=Default&w=50")).headers["Cache-Status"].count("unrenderable") == 0
    os.replace(broken / "1.png", broken / "9.png")
    assert (await client.request("PURGE", IMAGE.format(9))).status == 204
    for _ in range(3):
        assert "unrenderable" in (await get(client, 9, "?ifBlank=Default&w=50")).headers["Cache-Status"]


async def test_simultaneous_requests_for_an_unrenderable_picture_cost_one_render(serve: Serve, get: Get) -> None:
    client = await serve()
    answers = await asyncio.gather(*(get(client, 1, "?ifBlank=Default&w=50") for _ in range(30)))
    assert {answer.status for answer in answers} == {200}
    assert len({await answer.read() for answer in answers}) == 1
    assert await metric(client, "contact_image_renders_started_total") == 1


class TestPlaceholderDoesNotReplaceOtherErrors:
    QUERY = "?ifBlank=Default&w=1100&type=png"

    async def test_placeholder_does_not_replace_400(self, serve: Serve, get: Get, broken: Path) -> None:
        (broken / "8.png").write_bytes(saved(quarters(4, 4_000), "PNG"))
        client = await serve()
        assert (await get(client, 8, "?ifBlank=Default&w=4000")).status == 400
        assert (await get(client, 1, "?ifBlank=Default&w=x")).status == 400

    async def test_placeholder_does_not_replace_500(self, serve: Serve, get: Get) -> None:
        client = await serve(adapters={"renderer": PoolWithFailingWriters(Format.PNG)})
        for _ in range(2):
            assert (await get(client, 9, self.QUERY)).status == 500

    async def test_placeholder_does_not_replace_503(self, serve: Serve, get: Get) -> None:
        pool = PoolWithFailingWriters()
        pool.error_for = lambda _: RenderTimedOut("late")
        client = await serve(adapters={"renderer": pool})
        assert (await get(client, 9, self.QUERY)).status == 503

    @pytest.mark.parametrize(("error", "status"), [(StoreFailed("gone"), 502), (StoreTimedOut("slow"), 504)])
    @pytest.mark.parametrize("step", ["find", "read"])
    async def test_placeholder_does_not_replace_502_and_504(
        self, serve: Serve, get: Get, error: Exception, status: int, step: str
    ) -> None:
        class Failing(MemoryStore):
            async def find(self, contact: int, *, known: bool = False) -> Original | None:
                if step == "find":
                    raise error
                return await super().find(contact, known=known)

            async def read(self, original: Original) -> bytes:
                raise error

        store = Failing()
        store.keep(9, saved(quarters(80, 60), "PNG"))
        client = await serve(adapters={"store": store})
        assert (await get(client, 9, self.QUERY)).status == status


@pytest.mark.parametrize("size", [(1, 70_000), (70_000, 1), (100_000, 100_000)])
@pytest.mark.parametrize("query", ["?w=60&type=png", "?h=60&type=png", "?w=60"])
async def test_picture_too_large_to_be_read_is_422_even_for_an_impossible_size(
    serve: Serve, get: Get, images: Path, size: tuple[int, int], query: str
) -> None:
    """No size fits, so 400 could not name one. With `ifBlank` there is a placeholder."""
    (images / "4.png").write_bytes(png(*size, pixels=b""))
    client = await serve()
    assert (await get(client, 4, "?w=4096&type=avif")).status == 422
    for _ in range(2):
        assert (await get(client, 4, f"{query}&ifBlank=Default")).status == 200
        assert (await get(client, 4, query)).status == 422
