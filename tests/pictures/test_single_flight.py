"""Single flight within a process."""

from __future__ import annotations

import asyncio

import pytest

from service.pictures.demand import Demand
from service.pictures.single_flight import SingleFlight


async def test_calls_join_work_that_is_under_way() -> None:
    flights, runs, release = SingleFlight(), 0, asyncio.Event()

    async def work() -> int:
        nonlocal runs
        runs += 1
        await release.wait()
        return runs

    waiting = [asyncio.create_task(flights.join("key", work)) for _ in range(5)]
    await asyncio.sleep(0)
    release.set()
    assert sorted(await asyncio.gather(*waiting)) == [(1, False)] + [(1, True)] * 4
    assert await flights.join("key", work) == (2, False)


async def test_work_with_another_key_is_not_joined() -> None:
    flights = SingleFlight()

    async def work() -> str:
        return "done"

    assert await asyncio.gather(flights.join(1, work), flights.join(2, work)) == [("done", False)] * 2


async def test_error_is_raised_for_all_callers_and_is_not_kept() -> None:
    flights, release = SingleFlight(), asyncio.Event()

    async def fail() -> None:
        await release.wait()
        raise OSError("once")

    async def work() -> str:
        return "then"

    waiting = [asyncio.create_task(flights.join("key", fail)) for _ in range(3)]
    await asyncio.sleep(0)
    release.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, OSError) for each in results)
    assert await flights.join("key", work) == ("then", False)


async def test_cancelled_caller_does_not_cancel_the_work() -> None:
    flights, release = SingleFlight(), asyncio.Event()

    async def work() -> str:
        await release.wait()
        return "done"

    first, second = (asyncio.create_task(flights.join("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    release.set()
    assert await second == ("done", True)


class Work:
    """Work that waits for *release*. *demand* is what it was started with."""

    def __init__(self) -> None:
        self.release, self.ended = asyncio.Event(), asyncio.Event()
        self.demand: Demand | None = None

    async def __call__(self, demand: Demand) -> str:
        self.demand = demand
        try:
            await self.release.wait()
        finally:
            self.ended.set()
        return "done"


async def test_work_is_cancelled_when_all_callers_are() -> None:
    flights, first, later = SingleFlight(), Work(), Work()
    callers = [asyncio.create_task(flights.join_while_wanted("key", None, first)) for _ in range(2)]
    await asyncio.sleep(0.01)
    callers[0].cancel()
    await asyncio.sleep(0.01)
    assert not first.ended.is_set()
    callers[1].cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    later.release.set()
    assert await flights.join_while_wanted("key", None, later) == ("done", False)  # it does not join cancelled work
    assert first.ended.is_set()


async def test_held_work_continues_when_all_callers_are_cancelled() -> None:
    flights, work, abandoned = SingleFlight(), Work(), asyncio.Event()
    caller = asyncio.create_task(flights.join_while_wanted("key", None, work))
    await asyncio.sleep(0.01)
    assert work.demand is not None
    work.demand.hold(abandoned.set)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert abandoned.is_set()
    again = asyncio.create_task(flights.join_while_wanted("key", None, Work()))
    await asyncio.sleep(0.01)
    work.release.set()
    assert await again == ("done", True)


async def test_work_for_another_work_has_its_clients() -> None:
    flights, inner, outer = SingleFlight(), Work(), Work()
    caller = asyncio.create_task(flights.join_while_wanted("inner", None, inner))
    await asyncio.sleep(0.01)
    other = asyncio.create_task(flights.join_while_wanted("outer", None, outer))
    await asyncio.sleep(0.01)
    assert inner.demand is not None
    with inner.demand.joined(outer.demand):
        caller.cancel()
        await asyncio.sleep(0.01)
        assert not inner.ended.is_set()
    await asyncio.sleep(0.01)
    assert inner.ended.is_set()
    other.cancel()
    await asyncio.gather(caller, other, return_exceptions=True)


async def test_close_cancels_the_work_under_way() -> None:
    flights, begun, cancelled = SingleFlight(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    waiting = asyncio.create_task(flights.join("key", work))
    await begun.wait()
    await flights.close()
    assert cancelled.is_set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
