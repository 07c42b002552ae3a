"""Near folders: stored pictures are read from the folder, and answered as those of a far one."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from redis.asyncio import Redis

from service.pictures.ports import Loaded
from service.stores.directory import DirectoryStore
from service.web.keys import CACHE
from tests.conftest import Serve, Valkey
from tests.waiting import until
from tests.web.conftest import Client, Get
from tests.web.test_coalescing import metric
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

NEAR, FAR = {"near": True}, {"near": False}
READS = "contact_image_store_reads_total"
_OWN = {"Cache-Status", "Server-Timing", "Date", "X-Request-ID"}
"""Fields that may differ between two services."""
_prefixes = itertools.count()


class SlowStore(DirectoryStore):
    """A folder whose pictures can be loaded when `available` is set."""

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.asked, self.available = asyncio.Event(), asyncio.Event()

    def load_at_once(self, contact: int, most: int) -> Loaded | None:
        return None

    async def load(self, contact: int, most: int) -> Loaded | None:
        self.asked.set()
        await self.available.wait()
        return await super().load(contact, most)


def answer(response: ClientResponse) -> tuple[int, dict[str, str]]:
    own = _OWN | ({"Content-Length"} if response.status >= 400 else set())  # a problem has the id of its request
    return response.status, {name: value for name, value in response.headers.items() if name not in own}


ACCEPTS = [
    "*/*",
    "image/jpeg,image/*;q=0.8",
    "image/avif,image/webp,*/*;q=0.8",
    "image/webp",
    "image/png",
    "application/json",
    "application/json, image/*;q=0.5",
    "image/tiff",
    "text/html",
]
CONDITIONS: list[dict[str, str]] = [
    {},
    {"If_None_Match": "{etag}"},
    {"If_None_Match": '"other"'},
    {"If_Modified_Since": "{date}"},
    {"Range": "bytes=0-9"},
    {"Range": "bytes=100-"},
    {"Range": "bytes=99999999-"},
    {"Range": "bytes=5-20", "If_Range": "{etag}"},
    {"Range": "bytes=5-20", "If_Range": '"other"'},
]


@pytest.mark.parametrize("memory", [67_108_864, 0])
@pytest.mark.parametrize("as_stored", ["verbatim", "clean"])
async def test_answers_are_those_of_a_far_folder(
    serve: Serve, get: Get, people: Path, memory: int, as_stored: str
) -> None:
    (people / "6.jpg").write_bytes(b"no picture")
    (people / "7.jpg").write_bytes(saved(quarters(1500, 1200), "BMP"))
    (people / "8.png").write_bytes(os.urandom(100) + b"\0" * 300_000)
    (people / "9.jpg").write_bytes(saved(quarters(64, 48), "JPEG") + b"\0" * 300_000)
    (people / "10.jpg").write_bytes(b"")
    near, far = [
        await serve(images=folder | {"as_stored": as_stored}, cache={"memory_bytes": memory}) for folder in (NEAR, FAR)
    ]
    for contact, accept in itertools.product([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 404], ACCEPTS):
        plain = await get(far, contact, Accept=accept)
        known = {"etag": plain.headers.get("ETag", ""), "date": plain.headers.get("Last-Modified", "")}
        for conditions, method in itertools.product(CONDITIONS, ("GET", "HEAD")):
            fields = {name: value.format_map(known) for name, value in conditions.items()}
            one, other = [await get(each, contact, method=method, Accept=accept, **fields) for each in (near, far)]
            assert answer(one) == answer(other), (contact, accept, method, fields)
            if one.status < 400:  # a problem has the id of its request
                assert await one.read() == await other.read()
    for query in ("?w=40", "?ifBlank=1", "?type=png", "?w=40&h=30&fit=cover"):
        one, other = [await get(each, 1, query) for each in (near, far)]
        assert answer(one) == answer(other)


async def test_large_picture_is_whole_whatever_is_accepted(serve: Serve, get: Get, people: Path) -> None:
    data = saved(quarters(64, 48), "PNG") + bytes(300_000)
    (people / "8.png").write_bytes(data)
    client = await serve(images=NEAR)
    for accept, method in itertools.product(["*/*", "image/png"] * 2, ("GET", "HEAD")):
        answered = await get(client, 8, method=method, Accept=accept)
        assert answered.headers["Content-Length"] == str(len(data)), (accept, method)
        assert await answered.read() == (data if method == "GET" else b"")


async def test_stored_pictures_are_not_copied_into_redis(serve: Serve, get: Get, shared_valkey: Valkey) -> None:
    prefix = f"near-{next(_prefixes)}"
    client = await serve(images=NEAR, cache={"prefix": prefix})
    assert (await get(client, 1)).headers["Cache-Status"] == "contact-image; fwd=miss"
    assert (await get(client, 1)).headers["Cache-Status"].startswith("contact-image; hit; ttl=")
    await get(client, 2, Accept="application/json")
    await get(client, 3, "?w=40")
    await settled(client)
    async with Redis.from_url(shared_valkey.url) as redis:
        keys = [key async for key in redis.scan_iter(f"{prefix}*")]
    of_stored = [key for key in keys if b"{1}" in key or b"{2}" in key]
    assert of_stored == []  # no record, fence or lease
    assert [key for key in keys if b"{3}" in key]


async def test_simultaneous_requests_share_one_read(serve: Serve, get: Get, people: Path) -> None:
    store = SlowStore(people, max_bytes=10_000_000, timeout=60.0, near=True)
    client = await serve(adapters={"store": store})
    before = await metric(client, READS)
    asking = [asyncio.create_task(get(client, 1, f"?v={number % 4}")) for number in range(20)]
    await store.asked.wait()
    await asyncio.sleep(0.1)  # a request that is later still finds the picture in memory
    store.available.set()
    assert {each.status for each in await asyncio.gather(*asking)} == {200}
    assert await metric(client, READS) - before == 1


async def test_request_that_leaves_does_not_end_the_read_of_others(serve: Serve, get: Get, people: Path) -> None:
    store = SlowStore(people, max_bytes=10_000_000, timeout=60.0, near=True)
    client = await serve(adapters={"store": store})
    first = asyncio.create_task(get(client, 1))
    await store.asked.wait()
    others = [asyncio.create_task(get(client, 1, query)) for query in ("", "?v=1", "?v=2")]
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.sleep(0.1)
    store.available.set()
    assert {each.status for each in await asyncio.gather(*others)} == {200}


async def test_change_that_one_process_sees_reaches_all(serve: Serve, get: Get, people: Path) -> None:
    prefix = f"near-{next(_prefixes)}"
    one = await serve(images=NEAR, cache={"prefix": prefix, "fresh_for": 1})
    other = await serve(images=NEAR, cache={"prefix": prefix, "fresh_for": 1_000})
    for client, query in itertools.product((one, other), ("", "?w=40")):
        await get(client, 1, query)
    before = [await get(other, 1, query) for query in ("", "?w=40")]
    await settled(one)
    replace(people)

    async def has_reached_it() -> bool:
        await get(one, 1)
        now = [await get(other, 1, query) for query in ("", "?w=40")]
        return all(a.headers["ETag"] != b.headers["ETag"] for a, b in zip(before, now, strict=True))

    await until(has_reached_it)
    assert await (await get(other, 1)).read() == (people / "1.jpg").read_bytes()


async def test_rendition_of_a_new_picture_ends_the_stored_one_in_memory(serve: Serve, get: Get, people: Path) -> None:
    client = await serve(images=NEAR, cache={"fresh_for": 1_000})
    await get(client, 1)
    replace(people)
    await get(client, 1, "?w=40")
    assert await (await get(client, 1)).read() == (people / "1.jpg").read_bytes()


async def test_upload_is_served_at_once(serve: Serve, get: Get) -> None:
    client = await serve(images=NEAR, writes={"enabled": True})
    await get(client, 1)
    new = saved(quarters(30, 50), "JPEG")
    stored = await client.put("/api/v1/Contact/1/Image", data=new, headers={"Content-Type": "image/jpeg"})
    assert stored.status == 200
    assert await (await get(client, 1)).read() == new
    assert (await client.delete("/api/v1/Contact/1/Image")).status == 204
    assert (await get(client, 1)).status == 404


async def test_lost_folder_leaves_what_memory_has(serve: Serve, get: Get, people: Path) -> None:
    client = await serve(images=NEAR, cache={"fresh_for": 1}, http={"stale_while_revalidate": 0})
    known = [await get(client, 1, query) for query in ("", "?w=40")]
    os.rename(people, people.with_name("lost"))
    people.mkdir()
    await asyncio.sleep(1.1)
    now = [await get(client, 1, query) for query in ("", "?w=40")]
    assert [each.status for each in now] == [200, 200]
    assert [await each.read() for each in now] == [await each.read() for each in known]
    assert "ttl=-" in now[0].headers["Cache-Status"]
    assert (await get(client, 2)).status == 502
    people.rmdir()
    os.rename(people.with_name("lost"), people)

    async def is_back() -> bool:
        return (await get(client, 2)).status == 200

    await until(is_back)


async def settled(client: Client) -> None:
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]


def replace(folder: Path) -> None:
    (folder / "coming").write_bytes(saved(quarters(44, 33), "JPEG"))
    os.replace(folder / "coming", folder / "1.jpg")
