"""Placeholders for missing pictures (`ifBlank`) (docs/contract.md, section 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.pixels import shown
from tests.web.conftest import Client, Get, with_shared_client
from tools.pictures.drawing import quarters, saved

KINDS = ["Default", "ClearPixel", "SrNoPhoto", "SrNoPhotoWithBorder", "GenericFileIcon"]
NUMBERS = {"Default": 0, "ClearPixel": 1, "SrNoPhoto": 2, "SrNoPhotoWithBorder": 3, "Null": 4, "GenericFileIcon": 5}


@with_shared_client
@pytest.mark.parametrize("query", ["", "?ifBlank=Null", "?ifBlank=null", "?ifblank=4", "?w=40", "?ifBlank="])
@pytest.mark.parametrize("contact", [404, 0, -7])
async def test_missing_picture_without_placeholder_is_404(
    shared_client: Client, get: Get, query: str, contact: int
) -> None:
    response = await get(shared_client, contact, query)
    assert response.status == 404
    assert response.headers["Cache-Control"] == "public, max-age=5"
    assert response.headers["Surrogate-Key"] == response.headers["Cache-Tag"] == f"contact-{contact}"
    problem = await response.json(content_type="application/problem+json")
    assert problem["ErrorType"] == "SoNotFoundException"


@with_shared_client
@pytest.mark.parametrize("kind", KINDS)
async def test_names_and_numbers_give_the_same_placeholder(shared_client: Client, get: Get, kind: str) -> None:
    by_name = await get(shared_client, 404, f"?ifBlank={kind}&w=50")
    by_number = await get(shared_client, 404, f"?IFBLANK={NUMBERS[kind]}&w=50")
    assert by_name.status == by_number.status == 200
    assert await by_name.read() == await by_number.read()
    assert by_name.headers["ETag"] == by_number.headers["ETag"]


@with_shared_client
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("query", "size"),
    [("", None), ("&w=50", (50, 50)), ("&h=33", (33, 33)), ("&w=90&h=20", (90, 20)), ("&w=1", (1, 1))],
)
async def test_placeholder_size_is_128_or_the_requested_one(
    shared_client: Client, get: Get, kind: str, query: str, size: tuple[int, int] | None
) -> None:
    response = await get(shared_client, 404, f"?ifBlank={kind}{query}")
    seen = shown(await response.read())
    assert seen.size == size or (size is None and seen.size == ((1, 1) if kind == "ClearPixel" else (128, 128)))


@with_shared_client
async def test_placeholders_are_png_and_the_clear_pixel_is_gif_by_default(shared_client: Client, get: Get) -> None:
    for kind in KINDS:
        response = await get(shared_client, 404, f"?ifBlank={kind}")
        assert response.content_type == ("image/gif" if kind == "ClearPixel" else "image/png")
    assert (await get(shared_client, 404, "?ifBlank=0&type=webp")).content_type == "image/webp"
    assert (await get(shared_client, 404, "?ifBlank=0", Accept="image/jpeg")).content_type == "image/jpeg"
    assert (await get(shared_client, 404, "?ifBlank=1", Accept="image/png")).content_type == "image/png"


@with_shared_client
async def test_clear_pixel_is_transparent(shared_client: Client, get: Get) -> None:
    for query in ("?ifBlank=ClearPixel", "?ifBlank=ClearPixel&w=20&type=png", "?ifBlank=1&w=3&type=webp"):
        seen = shown(await (await get(shared_client, 404, query)).read()).convert("RGBA")
        assert seen.getextrema()[3] == (0, 0)


@with_shared_client
async def test_words_are_in_the_requested_language(shared_client: Client, get: Get) -> None:
    english = await get(shared_client, 404, "?ifBlank=SrNoPhoto", Accept_Language="en")
    swedish = await get(shared_client, 404, "?ifBlank=SrNoPhoto", Accept_Language="en", SO_Language="sv")
    regional = await get(shared_client, 404, "?ifBlank=SrNoPhoto", Accept_Language="fr;q=0.1, sv-SE")
    assert english.headers["Content-Language"] == "en"
    assert swedish.headers["Content-Language"] == regional.headers["Content-Language"] == "sv"
    assert await swedish.read() == await regional.read() != await english.read()
    assert swedish.headers["Vary"] == "Accept, Accept-Language, SO-Language, SO-Culture"


@with_shared_client
async def test_placeholders_without_words_do_not_vary_on_language(shared_client: Client, get: Get) -> None:
    for kind in ("Default", "ClearPixel", "GenericFileIcon"):
        english = await get(shared_client, 404, f"?ifBlank={kind}", SO_Language="en")
        swedish = await get(shared_client, 404, f"?ifBlank={kind}", SO_Language="sv")
        assert english.headers["ETag"] == swedish.headers["ETag"]
        assert swedish.headers["Vary"] == "Accept"
        assert "Content-Language" not in swedish.headers


async def test_placeholders_are_short_lived_and_named_in_cache_status(serve: Serve, get: Get) -> None:
    client = await serve()
    for wanted in ("fwd=miss", "hit"):
        response = await get(client, 404, "?ifBlank=Default")
        assert response.headers["Cache-Control"] == "public, max-age=30"
        assert "Last-Modified" not in response.headers
        assert response.headers["Surrogate-Key"] == "contact-404"
        assert f"contact-image; {wanted}" in response.headers["Cache-Status"]
        assert response.headers["Cache-Status"].endswith("detail=placeholder")
    again = await get(client, 404, "?ifBlank=Default", If_None_Match=response.headers["ETag"])
    assert again.status == 304


async def test_if_blank_does_not_replace_an_existing_picture(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.jpg").write_bytes(saved(quarters(64, 48), "JPEG"))
    client = await serve()
    response = await get(client, 1, "?ifBlank=SrNoPhoto")
    assert await response.read() == (images / "1.jpg").read_bytes()
    assert "placeholder" not in response.headers["Cache-Status"]


async def test_new_picture_is_served_after_its_absence_expires(serve: Serve, get: Get, images: Path) -> None:
    client = await serve(cache={"missing_for": 0})
    assert (await get(client, 7)).status == 404
    (images / "7.jpg").write_bytes(saved(quarters(64, 48), "JPEG"))
    assert (await get(client, 7)).status == 200
