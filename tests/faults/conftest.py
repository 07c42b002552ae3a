"""Readers who know what every answer must be, while something behind the service fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from service.web.keys import COHERENCE, FAIL_OPEN_CACHE
from tests.conftest import Serve, Valkey
from tests.pictures_in_code import shown
from tests.web.conftest import Get
from tests.web.conftest import get as get
from tests.web.conftest import people as people
from tests.web.test_coalescing import metric

Client = TestClient[Any, Any]
Pair = tuple[Client, Client]
_prefixes = itertools.count()

NO_MEMORY = {"memory_bytes": 0}
"""So that every look-up reaches the server."""
BOUND = 0.25
"""Seconds that the cache may cost a request in all, by its own account: 0.06, and what a loaded event loop adds.
The promise of 0.1 is measured by the benchmark `faults`, for a slow machine must not fail a test."""
WAITED = 1.0
"""Seconds that a request would take at least if it waited for a connection itself."""
RENDERS = "contact_image_renders_started_total"
UNAVAILABLE = 'contact_image_cache_total{layer="shared",outcome="unavailable"}'


def cache_seconds(response: ClientResponse) -> float:
    """What the answer says that it waited for the cache."""
    entries = dict(part.strip().split(";dur=") for part in response.headers["Server-Timing"].split(","))
    return float(entries["cache"]) / 1000


async def settled(client: Client) -> None:
    """Wait until what was put after the answers has reached the server."""
    await client.server.app[FAIL_OPEN_CACHE].settle()  # type: ignore[attr-defined]


async def until(true: Callable[[], Awaitable[object]], seconds: float, what: str) -> None:
    """Return when *true* is."""
    try:
        async with asyncio.timeout(seconds):
            while not await true():
                await asyncio.sleep(0.01)  # another process's doing: there is nothing to await
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s: {what}")


async def undisturbed(trial: Callable[[], Awaitable[None]], *clients: Client) -> None:
    """Have *trial* made; again, if it fails where the busy machine has kept the server from answering in time."""

    async def missed() -> float:
        for client in clients:
            await settled(client)
        return sum([await metric(client, UNAVAILABLE) for client in clients])

    for left in reversed(range(6)):
        before = await missed()
        try:
            await trial()
        except AssertionError:
            if not left or await missed() == before:
                raise
        else:
            return


class Crowd:
    """Readers of a dozen pictures of five contacts. They check each answer against the first one."""

    wanted = tuple((1 + at % 5, 20 + at % 3) for at in range(15))

    def __init__(self, client: Client, get: Get) -> None:
        self.client, self._get = client, get
        self._truth: dict[tuple[int, int], tuple[str, bytes]] = {}
        self._waited: list[float] = []

    async def read(self, rounds: int = 1) -> None:
        """Ask for everything at once, *rounds* times over."""
        await asyncio.gather(*(self._ask(*each) for each in self.wanted * rounds))

    @asynccontextmanager
    async def reading(self, readers: int = 6) -> AsyncIterator[None]:
        """They read without pause until the block ends, and are kept waiting by nothing."""
        ended = asyncio.Event()
        self._waited.clear()

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
        assert len(self._waited) > 2 * readers

    def check_waits(self) -> None:
        """Nine in ten answers have kept the bound, and none has waited for the server itself."""
        waited = sorted(self._waited)
        assert waited[len(waited) * 9 // 10] < BOUND
        assert waited[-1] < WAITED

    async def in_use(self) -> None:
        """Return when the server is used again for everything, within 5 s."""

        async def all_hits() -> bool:
            answers = await asyncio.gather(*(self._ask(*each) for each in self.wanted))
            return all("; hit" in each.headers["Cache-Status"] for each in answers)

        await until(all_hits, 60, "the cache is in use")

    async def renders(self) -> float:
        return await metric(self.client, RENDERS)

    async def _ask(self, contact: int, width: int) -> ClientResponse:
        response = await self._get(self.client, contact, f"?w={width}&type=png")
        assert response.status == 200
        self._waited.append(cache_seconds(response))
        body = await response.read()
        said = response.headers["ETag"], body
        if (contact, width) not in self._truth:
            assert shown(body).width == width
        assert self._truth.setdefault((contact, width), said) == said
        return response


@pytest.fixture
async def crowd(serve: Serve, get: Get, own_valkey: Valkey, people: object) -> Crowd:
    """Readers of a service whose every look-up reaches a server of its own, which holds all that they ask for."""
    own_valkey.stop()
    own_valkey.start(**{"enable-debug-command": "yes"})
    made = Crowd(await serve(url=own_valkey.url, cache=NO_MEMORY), get)
    await made.read()
    await made.in_use()
    return made


async def hearing(*clients: Client) -> None:
    """Return when they hear of each other."""

    async def all_of_them() -> bool:
        return all(client.server.app[COHERENCE].heard for client in clients)  # type: ignore[attr-defined]

    await until(all_of_them, 60, "they hear of each other")


@pytest.fixture
def serve_two(serve: Serve) -> Callable[..., Awaitable[Pair]]:
    async def start(**sections: Any) -> Pair:
        shared = {"prefix": f"fleet-{next(_prefixes)}"} | sections.pop("cache", {})
        one, other = [await serve(cache=shared, writes={"enabled": True}, **sections) for _ in range(2)]
        await hearing(one, other)
        return one, other

    return start


@pytest.fixture
async def pair(serve_two: Callable[..., Awaitable[Pair]]) -> Pair:
    return await serve_two()
