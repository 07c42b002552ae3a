"""Empty files: a copy may be under way, so the absence of a picture is not recorded."""

from __future__ import annotations

import os
from pathlib import Path

from service.pictures.trace import Trace
from service.pictures.values import RECORD
from service.web.keys import CACHE
from tests.conftest import Serve
from tests.pixels import shown
from tests.web.ageing import Client, UnreliableStore, age
from tests.web.conftest import Get
from tools.pictures.drawing import quarters, saved

JPEG = saved(quarters(), "JPEG")
LONG = {"fresh_for": 3_600, "missing_for": 3_600}


async def recorded(client: Client, contact: int) -> object:
    """Return the record of *contact* in memory, else in the shared cache."""
    app = client.server.app  # type: ignore[attr-defined]
    await app[CACHE].settle()
    shared_records = await app[CACHE].shared(contact, (RECORD,), Trace())
    return app[CACHE].local(contact, RECORD) or (shared_records and shared_records[0])


async def test_picture_is_served_as_soon_as_its_file_has_bytes(serve: Serve, get: Get, images: Path) -> None:
    client = await serve(cache=LONG)
    (images / "1.jpg").touch()
    assert (await get(client, 1, "?w=20")).status == 404
    assert (await get(client, 1, "?w=20&ifBlank=Default")).status == 200
    assert await recorded(client, 1) is None
    (images / "1.jpg").write_bytes(JPEG)
    response = await get(client, 1, "?w=20")
    assert (response.status, shown(await response.read()).size) == (200, (20, 15))


async def test_absence_without_an_empty_file_is_recorded(serve: Serve, get: Get, images: Path) -> None:
    client = await serve(cache=LONG)
    assert (await get(client, 1, "?w=20")).status == 404
    assert await recorded(client, 1) is not None


async def test_empty_file_does_not_replace_the_record(serve: Serve, get: Get, images: Path) -> None:
    """A copy in place first empties the file. Other processes still use the record."""
    store = UnreliableStore(images)
    client = await serve(adapters={"store": store}, http={"stale_while_revalidate": 0})
    (images / "1.jpg").write_bytes(JPEG)
    first = await get(client, 1, "?w=20")
    os.truncate(images / "1.jpg", 0)
    await age(client, 65)
    before = await recorded(client, 1)
    assert (await get(client, 1, "?w=20")).status == 404
    assert await recorded(client, 1) == before
    (images / "1.jpg").write_bytes(saved(quarters(40, 40), "JPEG"))
    again = await get(client, 1, "?w=20")
    assert (again.status, shown(await again.read()).size) == (200, (20, 20))
    assert again.headers["ETag"] != first.headers["ETag"]


async def test_empty_file_is_no_picture_for_writes(serve: Serve, images: Path) -> None:
    client = await serve(writes={"enabled": True})
    path = "/api/v1/Contact/1/Image"
    (images / "1.jpg").touch()
    info = await client.get("/api/v1/Contact/1/Imageinfo")
    assert (info.status, (await info.json())["BlobId"]) == (200, 0)
    assert (await client.put(path, data=JPEG, headers={"If-Match": "*"})).status == 412
    assert (await client.put(path, data=saved(quarters(), "PNG"), headers={"If-None-Match": "*"})).status == 200
    assert {each.name for each in images.iterdir() if each.is_file()} == {"1.png"}
    (images / "2.Gif").touch()
    assert (await client.delete("/api/v1/Contact/2/Image")).status == 204
    assert not (images / "2.Gif").exists()
