"""Readers that check every answer while the cache server or a process fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from service.web.keys import CACHE
from tests.conftest import Serve, Valkey
from tests.pixels import shown
from tests.waiting import until
from tests.web.conftest import Get
from tests.web.conftest import get as get
from tests.web.conftest import people as people
from tests.web.test_coalescing import metric

Client = TestClient[Any, Any]
Pair = tuple[Client, Client]
_prefixes = itertools.count()

NO_MEMORY = {"memory_bytes": 0}
"""Cache settings with which every lookup reaches the server."""
BOUND = 0.25
"""Seconds that a request waits for the cache, by its `Server-Timing`: 0.06, and what a loaded event loop adds.
The benchmark `faults` measures the promised 0.1; a slow machine must not fail a test."""
WAITED = 1.0
"""Seconds that a request takes at least if it waits for a connection."""
RENDERS = "contact_image_renders_started_total"
UNAVAILABLE = 'contact_image_cache_total{layer="shared",outcome="unavailable"}'


def cache_seconds(response: ClientResponse) -> float:
    """Return the seconds that the request waited for the cache, from its `Server-Timing`."""
    entries = dict(part.strip().split(";dur=") for part in response.headers["Server-Timing"].split(","))
    return float(entries["cache"]) / 1000


async def settled(client: Client) -> None:
    """Wait until all puts have reached the server."""
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]


async def undisturbed(trial: Callable[[], Awaitable[None]], *clients: Client) -> None:
    """Run *trial*. Repeat it if it fails and the server did not answer in time, which a busy machine can cause."""

    async def unanswered() -> float:
        for client in clients:
            await settled(client)
        return sum([await metric(client, UNAVAILABLE) for client in clients])

    for left in reversed(range(6)):
        before = await unanswered()
        try:
            await trial()
        except AssertionError:
            if not left or await unanswered() == before:
                raise
        else:
            return


class Readers:
    """Readers of pictures of five contacts. They compare each answer with the first one of its kind."""

    wanted = tuple((1 + at % 5, 20 + at % 3) for at in range(15))

    def __init__(self, client: Client, get: Get) -> None:
        self.client, self._get = client, get
        self._first_answers: dict[tuple[int, int], tuple[str, bytes]] = {}
        self._waits: list[float] = []

    async def read(self, rounds: int = 1) -> None:
        """Request all pictures concurrently, *rounds* times."""
        await asyncio.gather(*(self._ask(*each) for each in self.wanted * rounds))

    @asynccontextmanager
    async def reading(self, readers: int = 6) -> AsyncIterator[None]:
        """Read without pause until the block ends. Then check how long the requests waited for the cache."""
        ended = asyncio.Event()
        self._waits.clear()

        async def reader(at: int) -> None:
            while not ended.is_set():
                await self._ask(*self.wanted[at % len(self.wanted)])
                at += 1

        async with asyncio.TaskGroup() as readers_under_way:
            for at in range(readers):
                readers_under_way.create_task(reader(2 * at))
            yield
            ended.set()
        self.check_waits()
        assert len(self._waits) > 2 * readers

    def check_waits(self) -> None:
        """Check that nine in ten answers kept the bound, and that no request waited for a connection."""
        waited = sorted(self._waits)
        assert waited[len(waited) * 9 // 10] < BOUND
        assert waited[-1] < WAITED

    async def in_use(self) -> None:
        """Return when all answers are hits again."""

        async def all_hits() -> bool:
            answers = await asyncio.gather(*(self._ask(*each) for each in self.wanted))
            return all("; hit" in each.headers["Cache-Status"] for each in answers)

        await until(all_hits, 60, "all answers are hits")

    async def renders(self) -> float:
        return await metric(self.client, RENDERS)

    async def _ask(self, contact: int, width: int) -> ClientResponse:
        response = await self._get(self.client, contact, f"?w={width}&type=png")
        assert response.status == 200
        self._waits.append(cache_seconds(response))
        body = await response.read()
        said = response.headers["ETag"], body
        if (contact, width) not in self._first_answers:
            assert shown(body).width == width
        assert self._first_answers.setdefault((contact, width), said) == said
        return response


@pytest.fixture
async def readers(serve: Serve, get: Get, own_valkey: Valkey, people: object) -> Readers:
    """Readers of a service with a server of its own. Every lookup reaches the server, and all pictures are in it."""
    own_valkey.stop()
    own_valkey.start(**{"enable-debug-command": "yes"})
    made = Readers(await serve(url=own_valkey.url, cache=NO_MEMORY), get)
    await made.read()
    await made.in_use()
    return made


async def subscribed(*clients: Client) -> None:
    """Return when all *clients* receive the purges of the others."""

    async def all_subscribed() -> bool:
        return all(client.server.app[CACHE].subscribed for client in clients)  # type: ignore[attr-defined]

    await until(all_subscribed, 60, "all are subscribed")


@pytest.fixture
def serve_two(serve: Serve) -> Callable[..., Awaitable[Pair]]:
    async def start(**sections: Any) -> Pair:
        shared = {"prefix": f"fleet-{next(_prefixes)}"} | sections.pop("cache", {})
        one, other = [await serve(cache=shared, writes={"enabled": True}, **sections) for _ in range(2)]
        await subscribed(one, other)
        return one, other

    return start


@pytest.fixture
async def pair(serve_two: Callable[..., Awaitable[Pair]]) -> Pair:
    return await serve_two()
