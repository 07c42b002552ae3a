"""Freshness: what is served at once, and what is revalidated first."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.web.keys import CACHE
from tests.conftest import Serve, Valkey
from tests.pixels import shown
from tests.waiting import until
from tests.web.ageing import FRESH, OLD, PICTURE, SHORT, STALE, Client, UnreliableStore, age, change, ttl
from tests.web.ageing import serve_fresh as serve_fresh
from tests.web.ageing import store as store
from tests.web.conftest import Get
from tests.web.test_coalescing import metric
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

RENDERS = "contact_image_renders_started_total"
_prefixes = itertools.count()


@pytest.fixture
async def client(serve_fresh: Serve, store: UnreliableStore) -> Client:
    return await serve_fresh(adapters={"store": store})


async def test_fresh_picture_is_served_without_a_store_lookup(client: Client, get: Get, store: UnreliableStore) -> None:
    await get(client, 1, "?w=20")
    await age(client, FRESH)
    for _ in range(3):
        response = await get(client, 1, "?w=20")
        assert 0 <= ttl(response) <= 60 - FRESH
        assert response.headers["Cache-Control"] == PICTURE
    assert store.lookups == 1


async def test_stale_picture_is_served_at_once_and_revalidated_once(
    client: Client, get: Get, store: UnreliableStore
) -> None:
    truth = await get(client, 1, "?w=20")
    await age(client, STALE)
    store.available.clear()  # the lookup in the store ends after all answers
    for response in await asyncio.gather(*(get(client, 1, "?w=20") for _ in range(20))):
        assert -12 <= ttl(response) <= -5
        assert response.headers["Cache-Control"] == SHORT
        assert response.headers["ETag"] == truth.headers["ETag"]
        assert await response.read() == await truth.read()
    unchanged = await get(client, 1, "?w=20", If_None_Match=truth.headers["ETag"])
    assert (unchanged.status, unchanged.headers["Cache-Control"]) == (304, SHORT)
    store.available.set()

    async def extended() -> bool:
        return ttl(await get(client, 1, "?w=20")) > 50

    await until(extended)
    assert (await get(client, 1, "?w=20")).headers["Cache-Control"] == PICTURE
    assert store.lookups == 2
    assert await metric(client, RENDERS) == 1


async def test_changed_picture_is_found_after_a_stale_answer(client: Client, get: Get, images: Path) -> None:
    before = await get(client, 1, "?w=20")
    change(images)
    await age(client, STALE)
    stale = await get(client, 1, "?w=20")
    assert stale.headers["ETag"] == before.headers["ETag"]
    assert await stale.read() == await before.read()

    async def new() -> bool:
        response = await get(client, 1, "?w=20")
        return response.headers["ETag"] != before.headers["ETag"] and shown(await response.read()).size == (20, 20)

    await until(new)


async def test_removed_picture_is_found_after_a_stale_answer(client: Client, get: Get, images: Path) -> None:
    await get(client, 1, "?w=20")
    (images / "1.jpg").unlink()
    await age(client, STALE)
    assert (await get(client, 1, "?w=20")).status == 200

    async def gone() -> bool:
        return (await get(client, 1, "?w=20")).status == 404

    await until(gone)


@pytest.mark.parametrize("none_is_served_stale", [True, False], ids=["never served stale", "too old to be"])
async def test_picture_too_old_to_serve_stale_is_revalidated_first(
    serve_fresh: Serve, get: Get, images: Path, none_is_served_stale: bool
) -> None:
    client = await serve_fresh(http={"stale_while_revalidate": 0} if none_is_served_stale else {})
    before = await get(client, 1, "?w=20")
    await age(client, STALE if none_is_served_stale else OLD)
    same = await get(client, 1, "?w=20")
    assert same.headers["ETag"] == before.headers["ETag"]
    assert same.headers["Cache-Status"] == "contact-image; fwd=stale"
    assert await metric(client, RENDERS) == 1
    change(images)
    await age(client, STALE if none_is_served_stale else OLD)
    new = await get(client, 1, "?w=20")
    assert new.headers["ETag"] != before.headers["ETag"]
    assert shown(await new.read()).size == (20, 20)
    assert new.headers["Cache-Control"].startswith("public, max-age=300")


async def test_absence_is_cached_briefly(
    serve_fresh: Serve, get: Get, images: Path, store: UnreliableStore, shared_valkey: Valkey
) -> None:
    prefix = f"freshness-{next(_prefixes)}"
    client = await serve_fresh(adapters={"store": store}, cache={"prefix": prefix, "missing_for": 50})
    assert (await get(client, 1, "?w=20")).status == 200
    for _ in range(5):
        absent = await get(client, 7, "?w=20")
        assert (absent.status, absent.headers["Cache-Control"]) == (404, "public, max-age=5")
    assert store.lookups == 2
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    async with Redis.from_url(shared_valkey.url) as redis:
        assert 40 < await redis.ttl(f"{prefix}:{{7}}") <= 50 < await redis.ttl(f"{prefix}:{{1}}")
    (images / "7.jpg").write_bytes(saved(quarters(40, 40), "JPEG"))
    await age(client, 40, 7)
    assert (await get(client, 7, "?w=20")).status == 404
    await age(client, 11, 7)
    assert (await get(client, 7, "?w=20")).status == 200


async def test_entries_expire_at_different_times_and_not_late(
    serve_fresh: Serve, get: Get, images: Path, shared_valkey: Valkey
) -> None:
    prefix, contacts = f"freshness-{next(_prefixes)}", range(1_000, 1_200)
    for contact in contacts:
        os.link(images / "1.jpg", images / f"{contact}.jpg")
    cache = {"prefix": prefix, "kept_for": 1_000, "fresh_for": 500, "memory_bytes": 0}
    client = await serve_fresh(images={"near": False}, cache=cache)
    for contact in contacts:
        await get(client, contact)
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    again = [await get(client, contact) for contact in contacts]
    assert {response.headers["Cache-Control"] for response in again} == {PICTURE}  # lifetimes for others have no jitter
    fresh = [ttl(response) for response in again if "; hit" in response.headers["Cache-Status"]]
    async with Redis.from_url(shared_valkey.url) as redis:
        kept = [await redis.ttl(f"{prefix}:{{{contact}}}") for contact in contacts]
    for lives, most in ((fresh, 500), ([seconds for seconds in kept if seconds > 0], 1_000)):
        assert len(lives) > 100  # on a busy machine some may be missing from the server
        assert 0.85 * most < min(lives) < 0.92 * most
        assert 0.96 * most < max(lives) <= most
        assert len(set(lives)) > 20


@pytest.mark.parametrize("gone", [False, True], ids=["no channel", "no server"])
async def test_nothing_stale_is_served_without_the_purge_channel(
    serve_fresh: Serve, get: Get, images: Path, own_valkey: Valkey, gone: bool
) -> None:
    client = await serve_fresh(url=own_valkey.url)
    cache = client.server.app[CACHE]  # type: ignore[attr-defined]

    async def unsubscribed() -> bool:
        return not cache.subscribed

    before = await get(client, 1, "?w=20")
    if gone:
        own_valkey.stop()
    else:
        async with Redis.from_url(own_valkey.url) as redis:
            await redis.execute_command("ACL", "SETUSER", "default", "resetchannels")  # type: ignore[no-untyped-call]
            await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
    await until(unsubscribed)
    change(images)
    assert ttl(await get(client, 1, "?w=20")) > 0  # fresh, but no longer true
    await age(client, STALE, server=not gone)
    new = await get(client, 1, "?w=20")
    assert new.headers["ETag"] != before.headers["ETag"]
    assert shown(await new.read()).size == (20, 20)
