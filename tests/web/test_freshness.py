"""Fresh, stale and gone: what is served at once, what is looked at first, and what is served for want of better."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis

from service.app import CACHE, COHERENCE, REACH
from service.errors import N_, StoreFailed
from service.pictures.trace import Trace
from service.pictures.values import RECORD, Original
from service.stores.directory import DirectoryStore, told
from tests.conftest import Serve, Valkey
from tests.pictures_in_code import quarters, saved, shown
from tests.web.conftest import Get
from tests.web.test_coalescing import frozen_worker, metric, until_metric

pytestmark = pytest.mark.usefixtures("people")

Client = TestClient[Any, Any]
FRESH, STALE, OLD = 50, 65, 130
"""Seconds of age: fresh (for 54 to 60 seconds), stale and served (60 more), served only while the store fails."""
PICTURE = "public, max-age=300, s-maxage=3600, stale-while-revalidate=60, stale-if-error=86400"
SHORT = "public, max-age=5, stale-if-error=86400"
RENDERS = "contact_image_renders_started_total"
_prefixes = itertools.count()


class Moody(DirectoryStore):
    """Files that sometimes cannot be reached. Counts how often it was asked to look."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, max_bytes=10_000_000, timeout=5.0)
        self.looks = 0
        self.well = asyncio.Event()
        self.fails = False
        self.patience = 5.0
        self.well.set()

    async def look(self, contact: int) -> Original | None:
        self.looks += 1
        if self.fails:
            raise StoreFailed(N_("The place where pictures are stored failed."))
        await told(self.well.wait, self.patience)
        return await super().look(contact)


@pytest.fixture
def store(images: Path) -> Moody:
    return Moody(images)


@pytest.fixture
def serve_fresh(serve: Serve) -> Serve:
    """As `serve`, and it hears of purges: until then it believes nothing stale, and then it forgets what it knows."""

    async def start(**options: Any) -> Client:
        client = await serve(**options)

        async def hears() -> bool:
            return bool(client.server.app[COHERENCE].heard)  # type: ignore[attr-defined]

        await until(hears)
        return client

    return start


@pytest.fixture
async def client(serve_fresh: Serve, store: Moody) -> Client:
    return await serve_fresh(adapters={"store": store})


async def age(client: Client, seconds: float, contact: int = 1, *, server: bool = True) -> None:
    """Make what is known of *contact* so much older, here and in the *server*, if there is one."""
    app = client.server.app  # type: ignore[attr-defined]
    tiers, reach = app[CACHE], app[REACH]
    await reach.settle()
    record = tiers.near(contact, RECORD)
    assert record is not None
    older = replace(record, stored_at=record.stored_at - seconds)

    async def aged() -> bool:
        ticket = await tiers.fence(contact, Trace())
        await tiers.put(contact, RECORD, older, ticket, life=1_000)
        await reach.settle()
        return tiers.near(contact, RECORD) == older and (ticket.grant is not None or not server)

    await until(aged)


def change(images: Path) -> None:
    """Another picture for contact 1, put there by somebody else."""
    (images / "coming").write_bytes(saved(quarters(40, 40), "JPEG"))
    os.replace(images / "coming", images / "1.jpg")


def ttl(response: ClientResponse) -> int:
    """Seconds that a hit says it stays fresh; negative for a stale one."""
    said = re.fullmatch(r"contact-image; hit; ttl=(-?\d+)", response.headers["Cache-Status"])
    assert said is not None, response.headers["Cache-Status"]
    return int(said[1])


async def until(true: Callable[[], Awaitable[object]], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.01)  # it goes on behind the answers


async def test_what_is_fresh_is_served_without_a_look(client: Client, get: Get, store: Moody) -> None:
    await get(client, 1, "?w=20")
    await age(client, FRESH)
    for _ in range(3):
        response = await get(client, 1, "?w=20")
        assert 0 <= ttl(response) <= 60 - FRESH
        assert response.headers["Cache-Control"] == PICTURE
    assert store.looks == 1


async def test_what_is_stale_is_served_at_once_and_looked_at_once(client: Client, get: Get, store: Moody) -> None:
    truth = await get(client, 1, "?w=20")
    await age(client, STALE)
    store.well.clear()  # nobody waits for the look: it does not end before all have their answers
    for response in await asyncio.gather(*(get(client, 1, "?w=20") for _ in range(20))):
        assert -12 <= ttl(response) <= -5
        assert response.headers["Cache-Control"] == SHORT
        assert response.headers["ETag"] == truth.headers["ETag"]
        assert await response.read() == await truth.read()
    unchanged = await get(client, 1, "?w=20", If_None_Match=truth.headers["ETag"])
    assert (unchanged.status, unchanged.headers["Cache-Control"]) == (304, SHORT)
    store.well.set()

    async def extended() -> bool:
        return ttl(await get(client, 1, "?w=20")) > 50

    await until(extended)
    assert (await get(client, 1, "?w=20")).headers["Cache-Control"] == PICTURE
    assert store.looks == 2
    assert await metric(client, RENDERS) == 1


async def test_a_changed_picture_is_found_behind_a_stale_answer(client: Client, get: Get, images: Path) -> None:
    former = await get(client, 1, "?w=20")
    change(images)
    await age(client, STALE)
    stale = await get(client, 1, "?w=20")
    assert stale.headers["ETag"] == former.headers["ETag"]
    assert await stale.read() == await former.read()

    async def new() -> bool:
        response = await get(client, 1, "?w=20")
        return response.headers["ETag"] != former.headers["ETag"] and shown(await response.read()).size == (20, 20)

    await until(new)


async def test_a_picture_that_has_gone_is_found_gone(client: Client, get: Get, images: Path) -> None:
    await get(client, 1, "?w=20")
    (images / "1.jpg").unlink()
    await age(client, STALE)
    assert (await get(client, 1, "?w=20")).status == 200

    async def gone() -> bool:
        return (await get(client, 1, "?w=20")).status == 404

    await until(gone)


@pytest.mark.parametrize("none_is_served_stale", [True, False], ids=["never served stale", "too old to be"])
async def test_what_may_not_be_served_stale_is_looked_at_first(
    serve_fresh: Serve, get: Get, images: Path, none_is_served_stale: bool
) -> None:
    client = await serve_fresh(http={"stale_while_revalidate": 0} if none_is_served_stale else {})
    former = await get(client, 1, "?w=20")
    await age(client, STALE if none_is_served_stale else OLD)
    same = await get(client, 1, "?w=20")
    assert same.headers["ETag"] == former.headers["ETag"]
    assert same.headers["Cache-Status"] == "contact-image; fwd=stale"
    assert await metric(client, RENDERS) == 1
    change(images)
    await age(client, STALE if none_is_served_stale else OLD)
    new = await get(client, 1, "?w=20")
    assert new.headers["ETag"] != former.headers["ETag"]
    assert shown(await new.read()).size == (20, 20)
    assert new.headers["Cache-Control"].startswith("public, max-age=300")


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
async def test_while_the_store_cannot_be_asked_the_stale_is_served_for_so_long(
    serve_fresh: Serve, get: Get, store: Moody, hangs: bool
) -> None:
    client = await serve_fresh(adapters={"store": store}, http={"stale_if_error": 600})
    truth = await get(client, 1, "?w=20")
    store.patience = 0.2
    store.fails = not hangs
    if hangs:
        store.well.clear()
    for seconds in (STALE, OLD):
        await age(client, seconds)
        looks, begun = store.looks, time.monotonic()
        for _ in range(30):
            response = await get(client, 1, "?w=20")
            assert ttl(response) < 0
            assert response.headers["Cache-Control"] == "public, max-age=5, stale-if-error=600"
            assert await response.read() == await truth.read()
        assert store.looks - looks <= 4 + time.monotonic() - begun  # three times, and then once a second
    await age(client, 600)
    refused = await get(client, 1, "?w=20")
    assert (refused.status, refused.headers["Cache-Control"]) == (504 if hangs else 502, "no-store")
    store.fails = False
    store.well.set()

    async def well_again() -> bool:
        response = await get(client, 1, "?w=20")
        return response.headers["Cache-Control"] != SHORT and response.status == 200

    await until(well_again)
    assert await metric(client, RENDERS) == 1


async def test_a_folder_that_is_gone_is_no_absence_of_pictures(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh()
    truth = await get(client, 1, "?w=20")
    images.rename(images.with_name("elsewhere"))
    await age(client, OLD)
    response = await get(client, 1, "?w=20")
    assert ttl(response) < 0
    assert await response.read() == await truth.read()
    assert (await get(client, 2, "?w=20")).status == 502


async def with_a_former_rendition(client: Client, get: Get, images: Path) -> ClientResponse:
    """What is cached of the former picture; that it is another one by now has been seen."""
    former = await get(client, 1, "?w=20")
    await client.server.app[REACH].settle()  # type: ignore[attr-defined]
    change(images)
    await age(client, OLD)
    assert (await get(client, 1)).headers["Content-Length"] != former.headers["Content-Length"]
    await client.server.app[REACH].settle()  # type: ignore[attr-defined]
    return former


async def is_the_former(response: ClientResponse, former: ClientResponse) -> None:
    assert response.status == 200
    assert ttl(response) < 0
    assert response.headers["Cache-Control"] == SHORT
    assert response.headers["ETag"] == former.headers["ETag"]
    assert "Last-Modified" not in response.headers
    assert await response.read() == await former.read()


async def test_a_render_past_its_time_gives_the_former_rendition(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh(render={"timeout": 1.5})
    former = await with_a_former_rendition(client, get, images)
    await frozen_worker(client)
    await is_the_former(await get(client, 1, "?w=20"), former)
    assert (await get(client, 2, "?w=21")).status == 200  # another process has taken its place
    new = await get(client, 1, "?w=20")
    assert new.headers["ETag"] != former.headers["ETag"]
    assert shown(await new.read()).size == (20, 20)


async def test_a_full_queue_gives_the_former_rendition(serve_fresh: Serve, get: Get, images: Path) -> None:
    client = await serve_fresh(render={"queue": 1})
    former = await with_a_former_rendition(client, get, images)
    for contact in range(10, 21):
        os.link(images / "5.jpg", images / f"{contact}.jpg")
    started = await metric(client, RENDERS)
    pid = await frozen_worker(client)
    try:
        others = [asyncio.create_task(get(client, contact, "?w=30")) for contact in range(10, 20)]
        await until_metric(client, RENDERS, started + 1)
        await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)  # refused: the queue is full
        await is_the_former(await get(client, 1, "?w=20"), former)
        assert (await get(client, 20, "?w=30")).status == 503  # of this one there is none
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {(await other).status for other in others} == {200, 503}


async def test_an_absence_is_remembered_shortly(
    serve_fresh: Serve, get: Get, images: Path, store: Moody, shared_valkey: Valkey
) -> None:
    prefix = f"freshness-{next(_prefixes)}"
    client = await serve_fresh(adapters={"store": store}, cache={"prefix": prefix, "missing_for": 50})
    assert (await get(client, 1, "?w=20")).status == 200
    for _ in range(5):
        absent = await get(client, 7, "?w=20")
        assert (absent.status, absent.headers["Cache-Control"]) == (404, "public, max-age=5")
    assert store.looks == 2
    await client.server.app[REACH].settle()  # type: ignore[attr-defined]
    async with Redis.from_url(shared_valkey.url) as redis:
        assert 40 < await redis.ttl(f"{prefix}:{{7}}") <= 50 < await redis.ttl(f"{prefix}:{{1}}")
    (images / "7.jpg").write_bytes(saved(quarters(40, 40), "JPEG"))
    await age(client, 40, 7)
    assert (await get(client, 7, "?w=20")).status == 404
    await age(client, 11, 7)
    assert (await get(client, 7, "?w=20")).status == 200


async def test_nothing_expires_together_and_nothing_late(
    serve_fresh: Serve, get: Get, images: Path, shared_valkey: Valkey
) -> None:
    prefix, contacts = f"freshness-{next(_prefixes)}", range(1_000, 1_200)
    for contact in contacts:
        os.link(images / "1.jpg", images / f"{contact}.jpg")
    client = await serve_fresh(cache={"prefix": prefix, "kept_for": 1_000, "fresh_for": 500, "memory_bytes": 0})
    for contact in contacts:
        await get(client, contact)
    await client.server.app[REACH].settle()  # type: ignore[attr-defined]
    again = [await get(client, contact) for contact in contacts]
    assert {response.headers["Cache-Control"] for response in again} == {PICTURE}  # told to others without jitter
    fresh = [ttl(response) for response in again if "; hit" in response.headers["Cache-Status"]]
    async with Redis.from_url(shared_valkey.url) as redis:
        kept = [await redis.ttl(f"{prefix}:{{{contact}}}") for contact in contacts]
    for lives, most in ((fresh, 500), ([seconds for seconds in kept if seconds > 0], 1_000)):
        assert len(lives) > 100  # a busy machine may have kept some from the server
        assert 0.85 * most < min(lives) < 0.92 * most
        assert 0.96 * most < max(lives) <= most
        assert len(set(lives)) > 20


@pytest.mark.parametrize("gone", [False, True], ids=["no channel", "no server"])
async def test_while_nothing_is_heard_nothing_stale_is_believed(
    serve_fresh: Serve, get: Get, images: Path, own_valkey: Valkey, gone: bool
) -> None:
    client = await serve_fresh(url=own_valkey.url)
    coherence = client.server.app[COHERENCE]  # type: ignore[attr-defined]

    async def deaf() -> bool:
        return not coherence.heard

    former = await get(client, 1, "?w=20")
    if gone:
        own_valkey.stop()
    else:
        async with Redis.from_url(own_valkey.url) as redis:
            await redis.execute_command("ACL", "SETUSER", "default", "resetchannels")  # type: ignore[no-untyped-call]
            await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
    await until(deaf)
    change(images)
    assert ttl(await get(client, 1, "?w=20")) > 0  # fresh: nobody promises that it is new
    await age(client, STALE, server=not gone)
    new = await get(client, 1, "?w=20")
    assert new.headers["ETag"] != former.headers["ETag"]
    assert shown(await new.read()).size == (20, 20)


async def test_that_a_picture_is_missing_is_believed_while_the_store_fails(
    serve_fresh: Serve, get: Get, store: Moody, images: Path
) -> None:
    client = await serve_fresh(adapters={"store": store})
    assert (await get(client, 404)).status == 404
    assert (await get(client, 404, "?ifBlank=Default")).status == 200
    store.fails = True
    await age(client, STALE, 404)
    assert (await get(client, 404)).status == 404
    placeholder = await get(client, 404, "?ifBlank=Default")
    assert (placeholder.status, placeholder.headers["Cache-Control"]) == (200, "public, max-age=30")
    store.fails = False
    (images / "404.jpg").write_bytes((images / "1.jpg").read_bytes())
    async with asyncio.timeout(5):
        while (await get(client, 404)).status != 200:
            await asyncio.sleep(0.05)  # until the store is asked again: once a second
