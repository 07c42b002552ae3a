"""Records that tests make older, and a store that fails or hangs when a test sets it to."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from service.errors import N_, StoreFailed
from service.pictures.trace import Trace
from service.pictures.values import RECORD, Original
from service.stores.directory import DirectoryStore
from service.stores.os_errors import as_store_errors
from service.web.keys import CACHE
from tests.conftest import Serve
from tests.waiting import until
from tools.pictures.drawing import quarters, saved

Client = TestClient[Any, Any]
FRESH = 50
"""Seconds of age at which a record is fresh. It is fresh for 54 to 60."""
STALE = 65
"""Seconds of age at which a record is stale, and is served while it is revalidated."""
OLD = 130
"""Seconds of age at which a record is served only while the store fails."""
PICTURE = "public, max-age=300, s-maxage=3600, stale-while-revalidate=60, stale-if-error=86400"
SHORT = "public, max-age=5, stale-if-error=86400"


class UnreliableStore(DirectoryStore):
    """A directory that fails or hangs, and counts lookups."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, max_bytes=10_000_000, timeout=5.0)
        self.lookups = 0
        self.available = asyncio.Event()
        self.fails = False
        self.time_limit = 5.0
        self.available.set()

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        self.lookups += 1
        if self.fails:
            raise StoreFailed(N_("The place where pictures are stored failed."))
        await as_store_errors(self.available.wait, self.time_limit)
        return await super().find(contact, known=known)


@pytest.fixture
def store(images: Path) -> UnreliableStore:
    return UnreliableStore(images)


@pytest.fixture
def serve_fresh(serve: Serve) -> Serve:
    """As `serve`, but wait until the service is subscribed to purges. Before that it serves nothing stale."""

    async def start(**options: Any) -> Client:
        client = await serve(**options)

        async def subscribed() -> bool:
            return bool(client.server.app[CACHE].subscribed)  # type: ignore[attr-defined]

        await until(subscribed)
        return client

    return start


async def age(client: Client, seconds: float, contact: int = 1, *, server: bool = True) -> None:
    """Make the record of *contact* older by *seconds*, in memory and, if there is one, in the cache *server*."""
    app = client.server.app  # type: ignore[attr-defined]
    cache = app[CACHE]
    await cache.settle()
    record = cache.local(contact, RECORD)
    assert record is not None
    older = replace(record, stored_at=record.stored_at - seconds)

    async def aged() -> bool:
        token = await cache.fence(contact, Trace())
        await cache.put(contact, RECORD, older, token, life=1_000)
        await cache.settle()
        return cache.local(contact, RECORD) == older and (token.shared is not None or not server)

    await until(aged)


def change(images: Path) -> None:
    """Replace the picture of contact 1 in the folder, without the service."""
    (images / "coming").write_bytes(saved(quarters(40, 40), "JPEG"))
    os.replace(images / "coming", images / "1.jpg")


def ttl(response: ClientResponse) -> int:
    """Return `ttl` of a hit in seconds; negative for a stale one."""
    said = re.fullmatch(r"contact-image; hit; ttl=(-?\d+)", response.headers["Cache-Status"])
    assert said is not None, response.headers["Cache-Status"]
    return int(said[1])
