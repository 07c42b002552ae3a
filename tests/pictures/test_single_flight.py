"""Single flight within a process."""

from __future__ import annotations

import asyncio

import pytest

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
