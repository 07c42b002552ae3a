"""`BoundedQueue` on a real event loop."""

from __future__ import annotations

import asyncio

import pytest

from service.bounded_queue import BoundedQueue, QueueFull


async def test_tasks_beyond_the_limit_are_refused_without_waiting() -> None:
    event, counts = asyncio.Event(), []
    queue = BoundedQueue(2, 60.0, counts.append)
    waiting = [asyncio.create_task(queue.wait(event.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    assert queue.waiting == 2
    with pytest.raises(QueueFull):
        await queue.wait(event.wait)
    event.set()
    await asyncio.gather(*waiting)
    assert (queue.waiting, counts) == (0, [1, 2, 1, 0])


async def test_task_is_refused_when_its_time_is_over() -> None:
    queue = BoundedQueue(1, 0.01)
    with pytest.raises(QueueFull):
        await queue.wait(asyncio.Event().wait)
    assert queue.waiting == 0


async def test_cancelled_task_does_not_wait_any_more() -> None:
    queue = BoundedQueue(1, None)
    task = asyncio.create_task(queue.wait(asyncio.Event().wait))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert queue.waiting == 0
