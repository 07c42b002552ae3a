"""The layer of the shared cache: the order of its background calls, and how many lines of the log an outage has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from service import breaker
from service.pictures.caching.shared_layer import SharedLayer
from service.pictures.ports import CacheUnavailable
from service.pictures.trace import Trace
from service.pictures.values import MezzanineOwner, Owner
from service.web.metrics import Metrics
from tests.caches.stub import StubCache, StubServer
from tests.waiting import until


@pytest.fixture
def information() -> Iterator[None]:
    """Have the log take lines of the level INFO."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO), cache_logger_on_first_use=False
    )
    yield
    structlog.configure(**before)


def layer() -> SharedLayer:
    return SharedLayer(StubCache(StubServer()), Metrics())


def noting(name: str, notes: list[str], gate: asyncio.Event | None = None) -> Callable[[object], Awaitable[None]]:
    """Return a call that waits for *gate* and then adds *name* to *notes*."""

    async def call(_: object) -> None:
        if gate is not None:
            await gate.wait()
        notes.append(name)

    return call


async def test_a_call_after_others_waits_for_the_calls_of_its_contact() -> None:
    shared, notes, put = layer(), [], asyncio.Event()
    owners: tuple[Owner, ...] = (1, MezzanineOwner(1))
    for owner in owners:
        shared.in_background(owner, noting("put", notes, put))
    shared.in_background(1, noting("release", notes), after_others=True)
    await asyncio.sleep(0.05)
    assert notes == []
    put.set()
    await shared.settle()
    assert notes == ["put", "put", "release"]


async def test_a_call_after_others_does_not_wait_for_the_calls_of_other_contacts() -> None:
    shared, notes, never = layer(), [], asyncio.Event()
    for contact in range(2, 500):
        shared.in_background(contact, noting("put", notes, never))
    shared.in_background(1, noting("release", notes), after_others=True)
    await until(lambda: notes == ["release"])
    never.set()
    await shared.settle()


@pytest.mark.usefixtures("information")
async def test_cache_that_comes_and_goes_has_one_line_until_it_answers_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, now = StubServer(), 1_000.0
    shared = SharedLayer(StubCache(server), Metrics())
    monkeypatch.setattr(breaker.time, "monotonic", lambda: now)
    with capture_logs() as lines:
        for _ in range(100):
            server.error = CacheUnavailable("no answer")
            for _ in range(3):
                await shared.ask(lambda cache: cache.get(1, ["a"]), Trace())
            server.error = None
            now += 1.0
            assert await shared.ask(lambda cache: cache.get(1, ["a"]), Trace()) == [None]
        assert [line["event"] for line in lines] == ["cache.unavailable"]
        now += 10.0
        await shared.ask(lambda cache: cache.get(1, ["a"]), Trace())
    assert [line["event"] for line in lines] == ["cache.unavailable", "cache.back"]
    assert lines[-1]["failures"] == 100


async def test_puts_that_fail_now_and_then_have_one_line() -> None:
    server = StubServer()
    shared = SharedLayer(StubCache(server), Metrics())
    with capture_logs() as lines:
        for _ in range(50):
            for server.error in (CacheUnavailable("out of memory"), None):
                shared.in_background(1, lambda cache: cache.purge(1))
                await shared.settle()
    assert [line["event"] for line in lines] == ["cache.puts_fail"]
