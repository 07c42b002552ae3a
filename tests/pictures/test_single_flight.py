"""Single flight, by itself."""

from __future__ import annotations

import asyncio

import pytest

from service.pictures.single_flight import SingleFlight


async def test_whoever_comes_while_it_is_under_way_joins() -> None:
    flights, runs, gate = SingleFlight(), 0, asyncio.Event()

    async def work() -> int:
        nonlocal runs
        runs += 1
        await gate.wait()
        return runs

    waiting = [asyncio.create_task(flights.join("key", work)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    assert sorted(await asyncio.gather(*waiting)) == [(1, False)] + [(1, True)] * 4
    assert await flights.join("key", work) == (2, False)


async def test_other_keys_fly_alone() -> None:
    flights = SingleFlight()

    async def work() -> str:
        return "done"

    assert await asyncio.gather(flights.join(1, work), flights.join(2, work)) == [("done", False)] * 2


async def test_a_failure_is_everybody_s_and_is_not_kept() -> None:
    flights, gate = SingleFlight(), asyncio.Event()

    async def fail() -> None:
        await gate.wait()
        raise OSError("once")

    async def work() -> str:
        return "then"

    waiting = [asyncio.create_task(flights.join("key", fail)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, OSError) for each in results)
    assert await flights.join("key", work) == ("then", False)


async def test_a_caller_who_leaves_takes_nobody_along() -> None:
    flights, gate = SingleFlight(), asyncio.Event()

    async def work() -> str:
        await gate.wait()
        return "done"

    first, second = (asyncio.create_task(flights.join("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    assert await second == ("done", True)


async def test_closing_cancels_what_is_under_way() -> None:
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
