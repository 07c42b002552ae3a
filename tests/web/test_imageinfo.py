"""What SuperOffice's clients are told about a stored picture."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.conftest import Serve
from tests.pictures_in_code import quarters, saved

INFO = "/api/v1/Contact/{}/Imageinfo"


async def info(client: TestClient[Any, Any], contact: object) -> dict[str, Any]:
    response = await client.get(INFO.format(contact))
    assert response.status == 200
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    told: dict[str, Any] = json.loads(await response.text())
    return told


async def test_a_picture_is_described(serve: Serve, images: Path) -> None:
    data = saved(quarters(), "PNG")
    (images / "7.jpg").write_bytes(data)
    os.utime(images / "7.jpg", (1_700_000_000, 1_700_000_000))
    client = await serve()
    told = await info(client, 7)
    assert 0 < told.pop("BlobId") < 2**31
    assert told == {
        "BlobSize": len(data),
        "OriginalSize": len(data),
        "MimeType": "image/png",
        "Description": None,
        "ExtraInfo": None,
        "IsEncrypted": False,
        "IsZipped": False,
        "ConceptualType": "PHOTO",
        "CreatedDate": "2023-11-14T22:13:20Z",
        "CreatedBy": None,
        "UpdatedDate": "2023-11-14T22:13:20Z",
        "UpdatedBy": None,
        "TableRight": None,
        "FieldProperties": None,
    }


@pytest.mark.parametrize("contact", [404, 0, -1])
async def test_without_a_picture_there_is_an_empty_entity(serve: Serve, images: Path, contact: int) -> None:
    (images / "7.jpg").write_bytes(saved(quarters(), "JPEG"))
    client = await serve()
    told, of_a_picture = await info(client, contact), await info(client, 7)
    assert told.keys() == of_a_picture.keys()
    assert not any(told.values())


async def test_a_change_shows_at_once_though_the_picture_is_cached(serve: Serve, images: Path) -> None:
    client = await serve(cache={"fresh_for": 3600}, images={"watch": False})
    (images / "7.jpg").write_bytes(saved(quarters(), "JPEG"))
    await client.get("/api/v1/Contact/7/Image")
    before = await info(client, 7)
    assert await info(client, 7) == before
    (images / "7.jpg").write_bytes(saved(quarters(30, 30), "PNG"))
    after = await info(client, 7)
    assert after["MimeType"] == "image/png"
    assert after["BlobId"] != before["BlobId"]


@pytest.mark.parametrize("spelling", ["Imageinfo", "ImageInfo", "IMAGEINFO"])
async def test_the_path_matches_in_any_case(serve: Serve, spelling: str) -> None:
    client = await serve()
    assert (await client.get(f"/API/V1/contact/7/{spelling}")).status == 200


async def test_it_can_only_be_read(serve: Serve) -> None:
    client = await serve()
    for method, status in (("PUT", 405), ("DELETE", 405), ("OPTIONS", 204)):
        answer = await client.request(method, INFO.format(7))
        assert (answer.status, answer.headers["Allow"]) == (status, "GET, HEAD, OPTIONS")
    head = await client.head(INFO.format(7))
    assert (head.status, await head.read()) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(await (await client.get(INFO.format(7))).read())


async def test_a_bad_id_is_400(serve: Serve) -> None:
    client = await serve()
    assert (await client.get(INFO.format("x"))).status == 400


async def test_what_is_no_picture_has_no_type(serve: Serve, images: Path) -> None:
    (images / "7.jpg").write_bytes(b"hello")
    told = await info(await serve(), 7)
    assert (told["BlobSize"], told["MimeType"]) == (5, None)
