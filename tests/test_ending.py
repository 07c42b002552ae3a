"""The end of tasks that may swallow a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from service.ending import end


async def test_task_that_swallows_two_cancellations_ends() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task), 60)
    assert task.cancelled() and swallowed == 2


async def test_cancellation_that_comes_with_a_result_is_repeated() -> None:
    """As in `asyncio.wait_for` before Python 3.12, by which the Redis library waits for each reply."""
    reply = asyncio.get_running_loop().create_future()

    async def ask_again_and_again() -> None:
        await asyncio.wait_for(reply, 60)
        await asyncio.sleep(3600)

    task = asyncio.create_task(ask_again_and_again())
    await asyncio.sleep(0)
    reply.set_result(None)
    await asyncio.wait_for(end(task), 60)
    assert task.cancelled()


async def test_exception_of_a_task_is_retrieved(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await end(task)
    del task
    assert not caplog.records
