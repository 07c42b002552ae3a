"""The format of an answer, and its `Vary` (docs/contract.md, section 3)."""

from __future__ import annotations

import pytest

from tests.web.conftest import Client, Get, with_shared_client

pytestmark = with_shared_client


@pytest.mark.parametrize(
    ("contact", "accept", "media_type"),
    [
        (1, "*/*", "image/jpeg"),
        (2, "*/*", "image/png"),
        (3, "*/*", "image/gif"),
        (4, "*/*", "image/jpeg"),
        (1, "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "image/avif"),
        (1, "image/webp,image/*;q=0.5", "image/webp"),
        (1, "image/png;q=0.5, image/webp;q=0.4", "image/png"),
        (1, "image/webp;q=0, image/*", "image/jpeg"),
        (1, "image/jpeg;q=0, image/*", "image/avif"),
        (1, "text/html, image/gif", "image/gif"),
        (2, "image/jpeg, image/png", "image/png"),
        (1, "image/jpeg, image/png", "image/jpeg"),
        (2, "image/jpeg, image/png;q=0.9", "image/jpeg"),
        (1, "application/json, image/png", "image/png"),
        (1, "application/json, image/png;q=0.9", "application/json"),
        (1, "*/*, application/json;q=0.9", "image/jpeg"),
        (1, 'image/tiff;note="a, b;q=0";q=0.9', "image/tiff"),
        (1, "image/png;q=.5, image/jpeg;q=.2", "image/png"),
        (1, "image/jpg;q=.2, image/gif;q=.125", "image/jpeg"),
        (1, "image/x-png, image/*", "image/png"),
        (1, "image/tif", "image/tiff"),
        (1, "text/html, image/gif, *; q=.2, */*; q=.2", "image/gif"),
    ],
)
async def test_accept_chooses_the_format(
    shared_client: Client, get: Get, contact: int, accept: str, media_type: str
) -> None:
    response = await get(shared_client, contact, "?w=40", Accept=accept)
    assert (response.status, response.content_type) == (200, media_type)
    assert response.headers["Vary"] == "Accept"


async def test_several_accept_lines_are_one_list(shared_client: Client) -> None:
    headers = [("Accept", "image/png;q=0.5"), ("Accept", "image/webp")]
    response = await shared_client.get("/api/v1/Contact/1/Image?w=40", headers=headers)
    assert response.content_type == "image/webp"


async def test_stored_bytes_are_sent_if_accept_allows_their_type(shared_client: Client, get: Get) -> None:
    accept = "image/avif, image/webp, image/*;q=0.1"
    assert (await get(shared_client, 1, Accept=accept)).content_type == "image/jpeg"
    assert (await get(shared_client, 1, "?w=40", Accept=accept)).content_type == "image/avif"
    assert (await get(shared_client, 1, Accept="image/jpeg;q=0, image/webp")).content_type == "image/webp"


async def test_406_names_the_formats(shared_client: Client, get: Get) -> None:
    response = await get(shared_client, 1, Accept="text/html")
    assert response.status == 406
    problem = await response.json(content_type="application/problem+json")
    for name in ("image/avif", "image/jpeg", "application/json"):
        assert name in problem["detail"]
    assert response.headers["Vary"].startswith("Accept,")


async def test_type_overrides_accept_and_vary(shared_client: Client, get: Get) -> None:
    response = await get(shared_client, 1, "?type=gif", Accept="text/html")
    assert response.content_type == "image/gif"
    assert "Vary" not in response.headers


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("image/jpg", "jpeg"),
        ("image/pjpeg", "jpeg"),
        ("image/x-png", "png"),
        ("image/apng", "png"),
        ("IMAGE/TIF", "tiff"),
    ],
)
async def test_alias_and_its_type_are_the_same_rendition(
    shared_client: Client, get: Get, alias: str, name: str
) -> None:
    named = await get(shared_client, 1, f"?w=40&type={name}")
    for response in (
        await get(shared_client, 1, f"?w=40&type={alias}"),
        await get(shared_client, 1, "?w=40", Accept=f"{alias}, image/*;q=0.9"),
    ):
        assert (response.status, response.content_type) == (200, f"image/{name}")
        assert response.headers["ETag"] == named.headers["ETag"]
        assert await response.read() == await named.read()


async def test_two_formats_never_share_a_validator(shared_client: Client, get: Get) -> None:
    tags = set()
    for name in ("jpeg", "png", "gif", "tiff", "webp", "avif"):
        typed = await get(shared_client, 1, f"?w=40&type={name}")
        negotiated = await get(shared_client, 1, "?w=40", Accept=f"image/{name}")
        assert typed.headers["ETag"] == negotiated.headers["ETag"]
        tags.add(typed.headers["ETag"])
    assert len(tags) == 6
    assert all(tag.startswith('"') for tag in tags)
