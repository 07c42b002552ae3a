"""Fresh, stale and gone: what is served at once, and what is looked at first."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.wiring.app import CACHE
from tests.conftest import Serve, Valkey
from tests.pictures_in_code import quarters, saved, shown
from tests.web.ageing import FRESH, OLD, PICTURE, SHORT, STALE, Client, Moody, age, change, ttl, until
from tests.web.ageing import serve_fresh as serve_fresh
from tests.web.ageing import store as store
from tests.web.conftest import Get
from tests.web.test_coalescing import metric

pytestmark = pytest.mark.usefixtures("people")

RENDERS = "contact_image_renders_started_total"
_prefixes = itertools.count()


@pytest.fixture
async def client(serve_fresh: Serve, store: Moody) -> Client:
    return await serve_fresh(adapters={"store": store})


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
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
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
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
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
    coherence = client.server.app[CACHE]  # type: ignore[attr-defined]

    async def deaf() -> bool:
        return not coherence.subscribed

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
