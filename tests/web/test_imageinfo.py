"""`Imageinfo`: the description of a stored picture for SuperOffice's clients (docs/contract.md, section 1)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from service.errors import StoreFailed, StoreTimedOut
from service.pictures.values import Original
from tests.conftest import Serve
from tests.stores.memory_store import MemoryStore
from tests.waiting import until
from tools.pictures.drawing import quarters, saved

INFO = "/api/v1/Contact/{}/Imageinfo"


async def info(client: TestClient[Any, Any], contact: object, headers: dict[str, str] | None = None) -> dict[str, Any]:
    response = await client.get(INFO.format(contact), headers=headers)
    assert response.status == 200
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    entity: dict[str, Any] = json.loads(await response.text())
    return entity


def without_hash(entity: dict[str, Any]) -> dict[str, Any]:
    """Return *entity* without its ThumbHash, which may arrive between two requests (test_thumb_hashes.py)."""
    return {name: value for name, value in entity.items() if name != "ThumbHash"}


async def test_entity_describes_the_picture(serve: Serve, images: Path) -> None:
    data = saved(quarters(), "PNG")
    (images / "7.jpg").write_bytes(data)
    os.utime(images / "7.jpg", (1_700_000_000, 1_700_000_000))
    client = await serve()
    entity = await info(client, 7)
    assert 0 < entity.pop("BlobId") < 2**31
    assert without_hash(entity) == {
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
        "Width": 80,
        "Height": 60,
    }


@pytest.mark.parametrize("contact", [404, 0, -1])
async def test_entity_is_empty_without_a_picture(serve: Serve, images: Path, contact: int) -> None:
    (images / "7.jpg").write_bytes(saved(quarters(), "JPEG"))
    client = await serve()
    entity, of_a_picture = await info(client, contact), await info(client, 7)
    assert entity.keys() == of_a_picture.keys()
    assert not any(entity.values())


async def test_change_is_seen_at_once_while_the_picture_is_cached(serve: Serve, images: Path) -> None:
    client = await serve(cache={"fresh_for": 3600}, images={"watch": False})
    (images / "7.jpg").write_bytes(saved(quarters(), "JPEG"))
    await client.get("/api/v1/Contact/7/Image")
    before = without_hash(await info(client, 7))
    assert without_hash(await info(client, 7)) == before
    (images / "7.jpg").write_bytes(saved(quarters(30, 30), "PNG"))
    after = await info(client, 7)
    assert after["MimeType"] == "image/png"
    assert after["BlobId"] != before["BlobId"]


@pytest.mark.parametrize("spelling", ["Imageinfo", "ImageInfo", "IMAGEINFO"])
async def test_path_matches_in_any_case(serve: Serve, spelling: str) -> None:
    client = await serve()
    assert (await client.get(f"/API/V1/contact/7/{spelling}")).status == 200


async def test_imageinfo_allows_only_reads(serve: Serve) -> None:
    client = await serve()
    for method, status in (("PUT", 405), ("DELETE", 405), ("OPTIONS", 204)):
        answer = await client.request(method, INFO.format(7))
        assert (answer.status, answer.headers["Allow"]) == (status, "GET, HEAD, OPTIONS")
    head = await client.head(INFO.format(7))
    assert (head.status, await head.read()) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(await (await client.get(INFO.format(7))).read())


async def test_invalid_contact_is_400(serve: Serve) -> None:
    client = await serve()
    assert (await client.get(INFO.format("x"))).status == 400


async def test_entity_of_a_file_that_is_no_picture_has_no_type(serve: Serve, images: Path) -> None:
    (images / "7.jpg").write_bytes(b"hello")
    entity = await info(await serve(), 7)
    assert (entity["BlobSize"], entity["MimeType"]) == (5, None)


@pytest.mark.parametrize(
    ("zone", "date"),
    [
        ("UTC", "2023-11-14T22:13:20Z"),
        ("1", "2023-11-14T22:13:20Z"),
        ("", "2023-11-14T22:13:20Z"),
        ("NO", "2023-11-14T23:13:20+01:00"),
        ("261", "2023-11-14T23:13:20+01:00"),
        ("US-NY", "2023-11-14T17:13:20-05:00"),
        ("NO, includeTZOffset", "2023-11-14T23:13:20+01:00"),
        ("INCLUDETZOFFSET,us-ny", "2023-11-14T17:13:20-05:00"),
        ("includeTZOffset", "2023-11-14T22:13:20Z"),
        ("BD", "2023-11-15T04:13:20+06:00"),
        ("Asia/Kathmandu", "2023-11-15T03:58:20+05:45"),
        ("Europe/London", "2023-11-14T22:13:20+00:00"),
    ],
)
async def test_dates_are_in_the_requested_time_zone(serve: Serve, images: Path, zone: str, date: str) -> None:
    picture(images, 1_700_000_000)
    entity = await info(await serve(), 7, {"SO-TimeZone": zone})
    assert entity["CreatedDate"] == entity["UpdatedDate"] == date
    assert datetime.fromisoformat(date).timestamp() == 1_700_000_000


@pytest.mark.parametrize(
    ("seconds", "date"),
    [
        (1_711_846_799, "2024-03-31T01:59:59+01:00"),
        (1_711_846_800, "2024-03-31T03:00:00+02:00"),
        (1_729_987_200, "2024-10-27T02:00:00+02:00"),
        (1_729_990_800, "2024-10-27T02:00:00+01:00"),
    ],
)
async def test_dates_follow_summer_time(serve: Serve, images: Path, seconds: int, date: str) -> None:
    picture(images, seconds)
    entity = await info(await serve(), 7, {"SO-TimeZone": "NO"})
    assert entity["UpdatedDate"] == date


@pytest.mark.parametrize(
    "zone", ["Atlantis", "../../../etc/passwd", "0", "x" * 5000, "NO, DK", "Atlantis, includeTZOffset"]
)
@pytest.mark.parametrize("contact", [7, 404])
async def test_unknown_time_zone_is_400(serve: Serve, images: Path, contact: int, zone: str) -> None:
    picture(images, 1_700_000_000)
    client = await serve()
    response = await client.get(INFO.format(contact), headers={"SO-TimeZone": zone})
    assert response.status == 400
    problem = json.loads(await response.text())
    assert "SO-TimeZone" in problem["detail"] and zone not in problem["detail"]


async def test_time_zone_and_option_may_be_on_separate_lines(serve: Serve, images: Path) -> None:
    picture(images, 1_700_000_000)
    client = await serve()
    lines = [("SO-TimeZone", "includeTZOffset"), ("SO-TimeZone", "NO")]
    async with client.get(INFO.format(7), headers=lines) as answer:
        assert (await answer.json())["UpdatedDate"] == "2023-11-14T23:13:20+01:00"


async def test_time_zone_has_no_effect_on_pictures(serve: Serve, images: Path) -> None:
    picture(images, 1_700_000_000)
    client = await serve()
    plain = await client.get("/api/v1/Contact/7/Image")
    zoned = await client.get("/api/v1/Contact/7/Image", headers={"SO-TimeZone": "Atlantis"})
    assert (zoned.status, zoned.headers["ETag"]) == (200, plain.headers["ETag"])
    assert zoned.headers["Last-Modified"] == plain.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"


def picture(images: Path, modified: int) -> None:
    (images / "7.jpg").write_bytes(saved(quarters(), "JPEG"))
    os.utime(images / "7.jpg", (modified, modified))


async def test_size_is_that_of_the_upright_picture(serve: Serve, people: Path) -> None:
    (people / "6.jpg").write_bytes(b"no picture")
    client = await serve()
    assert [(await info(client, contact))[side] for contact in (1, 5) for side in ("Width", "Height")] == [160, 120] * 2
    assert [(await info(client, 6))[side] for side in ("Width", "Height")] == [None, None]


async def test_entities_of_many_contacts_are_those_of_each(serve: Serve, people: Path) -> None:
    client = await serve()
    async with client.get("/api/v1/contact/IMAGEINFO/?ids=1,2,404,-1,1&x=1", headers={"SO-TimeZone": "NO"}) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        entities = {contact: without_hash(each) for contact, each in (await response.json()).items()}
    alone = {str(each): await info(client, each, {"SO-TimeZone": "NO"}) for each in (1, 2, 404, -1)}
    assert entities == {contact: without_hash(each) for contact, each in alone.items()}
    full = ",".join(map(str, range(1, 101)))
    async with client.get(f"/api/v1/Contact/Imageinfo?ids={full}") as response:
        assert (response.status, len(await response.json())) == (200, 100)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?ids=",
        "?ids=1,x",
        "?ids=1,,2",
        "?ids=1&ids=2",
        "?ids=99999999999",
        f"?ids={','.join(map(str, range(101)))}",
    ],
)
async def test_other_lists_of_contacts_are_400(serve: Serve, query: str) -> None:
    client = await serve()
    async with client.get(f"/api/v1/Contact/Imageinfo{query}") as response:
        assert response.status == 400
        assert "1 to 100 contact ids" in (await response.json())["detail"]


@pytest.mark.parametrize(("error", "status"), [(StoreFailed("gone"), 502), (StoreTimedOut("slow"), 504)])
async def test_failure_of_the_store_is_that_of_one_contact(serve: Serve, error: Exception, status: int) -> None:
    class Failing(MemoryStore):
        async def find(self, contact: int, *, known: bool = False) -> Original | None:
            raise error

    client = await serve(adapters={"store": Failing()})
    for path in (INFO.format(7), "/api/v1/Contact/Imageinfo?ids=7,8,9"):
        async with client.get(path) as response:
            assert response.status == status


class SlowStore(MemoryStore):
    """A store that counts its lookups: all, and the most that were under way at once."""

    begun = now = most = 0

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        self.begun, self.now = self.begun + 1, self.now + 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        return None


HUNDRED = f"/api/v1/Contact/Imageinfo?ids={','.join(map(str, range(1, 101)))}"


async def test_lists_of_many_clients_share_a_few_lookups(serve: Serve) -> None:
    """Otherwise each other request would wait for all of them."""
    store = SlowStore()
    client = await serve(adapters={"store": store})
    answers = await asyncio.gather(*(client.get(HUNDRED) for _ in range(4)))
    assert ({each.status for each in answers}, store.most) == ({200}, 8)


async def test_list_of_a_client_that_leaves_is_looked_up_no_further(serve: Serve) -> None:
    store = SlowStore()
    client = await serve(adapters={"store": store})
    _, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(f"GET {HUNDRED} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await until(lambda: store.begun > 0, 60, "a lookup has begun")
    peer = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the end is a reset, not half of one
    writer.transport.abort()

    async def at_rest() -> bool:
        before = store.begun
        await asyncio.sleep(0.1)
        return store.begun == before

    await until(at_rest, 60, "no further lookup begins")
    assert store.begun < 100


async def test_more_than_a_hundred_contacts_are_400(serve: Serve) -> None:
    client = await serve()
    async with client.get(f"/api/v1/Contact/Imageinfo?ids={','.join(map(str, range(101)))}") as response:
        assert response.status == 400
