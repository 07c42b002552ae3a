"""The queue of orders, without render processes."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from service.bounded_queue import QueueFull
from service.pictures.demand import Client, Demand
from service.rendering.render_queue import RenderQueue


@dataclass(eq=False)
class Waiting:
    """A client that waits."""

    half_closed: bool = False
    addresses: frozenset[str | None] = frozenset((None,))


class Stays(Demand):
    """A demand of *clients* that do not leave."""

    def __init__(self, *clients: Client | None) -> None:
        super().__init__(lambda: None)
        self._stack = ExitStack()
        for client in clients:
            self._stack.enter_context(self.joined(client))


class Queue(RenderQueue):
    """A queue with one place, which notes the names of orders that get it."""

    def __init__(self, limit: int = 8, timeout: float = 60.0) -> None:
        self.counts: list[int] = []
        self.begun: list[str] = []
        self.timeout = timeout
        super().__init__(1, limit, self.counts.append)

    async def order(self, name: str, of: Demand | None = None) -> None:
        await self.enter(self.timeout, of)
        self.begun.append(name)

    async def add(self, name: str, of: Demand | None = None) -> asyncio.Task[None]:
        """Return the task of an order that is in the queue or has the place."""
        task = asyncio.create_task(self.order(name, of))
        await asyncio.sleep(0)
        return task

    async def finish(self) -> None:
        """Give the place to the next orders, until none waits."""
        while self.waiting:
            self.leave()
            await asyncio.sleep(0)


async def test_orders_begin_one_after_the_other() -> None:
    queue = Queue()
    orders = [await queue.add(name) for name in "abc"]
    assert (queue.begun, queue.waiting, queue.counts) == (["a"], 2, [1, 2])
    await queue.finish()
    await asyncio.gather(*orders)
    assert (queue.begun, queue.counts) == (["a", "b", "c"], [1, 2, 1, 0])


async def test_one_order_more_than_the_limit_is_refused() -> None:
    queue = Queue(limit=1)
    await queue.add("a")
    await queue.add("b")
    with pytest.raises(QueueFull):
        await queue.enter(queue.timeout, None)


async def test_order_that_waits_too_long_is_refused() -> None:
    queue = Queue(timeout=0.01)
    await queue.add("a")
    with pytest.raises(QueueFull):
        await queue.enter(queue.timeout, None)
    assert queue.waiting == 0


@pytest.mark.parametrize("when", ["before", "at once", "after"])
async def test_order_that_is_cancelled_about_when_its_turn_comes_keeps_no_place(when: str) -> None:
    queue = Queue()
    await queue.add("a")
    cancelled, later = await queue.add("b"), await queue.add("c")
    if when == "after":
        queue.leave()
    cancelled.cancel()
    if when == "before":
        await asyncio.sleep(0.01)
    if when != "after":
        queue.leave()
    await later
    await asyncio.sleep(0.01)
    assert (queue.begun, queue.waiting) == (["a", "c"], 0)
    queue.leave()
    await queue.enter(queue.timeout, None)  # the place is free


async def test_order_that_is_refused_while_it_is_cancelled_is_cancelled() -> None:
    queue = Queue(limit=2)
    await queue.add("a")
    cancelled = [await queue.add(name, Stays(Waiting(True))) for name in "bc"]
    for each in cancelled:
        each.cancel()
    later = asyncio.create_task(queue.order("d"))
    await asyncio.sleep(0.01)
    await queue.finish()
    await later
    assert queue.begun == ["a", "d"]
    assert all(each.cancelled() for each in cancelled)


async def test_half_closed_orders_are_refused_when_another_would_come_after_them() -> None:
    queue = Queue()
    await queue.add("a")
    half_closed = await queue.add("b", Stays(Waiting(True)))
    await queue.add("c", Stays(Waiting(True), Waiting()))
    await queue.add("d", Stays(Waiting(True), None))
    await queue.finish()
    with pytest.raises(QueueFull):
        await half_closed
    assert queue.begun == ["a", "c", "d"]


async def test_half_closed_orders_begin_when_no_others_wait() -> None:
    queue = Queue()
    await queue.add("a")
    for name in "bc":
        await queue.add(name, Stays(Waiting(True)))
    await queue.finish()
    assert queue.begun == ["a", "b", "c"]


async def test_order_of_another_address_replaces_the_newest_of_the_one_with_the_most() -> None:
    queue = Queue(limit=3)
    await queue.add("a")
    flood = [await queue.add(f"flood {at}", Stays(Waiting(addresses=frozenset("1")))) for at in range(4)]
    polite = [await queue.add(f"polite {at}", Stays(Waiting(addresses=frozenset("2")))) for at in range(2)]
    assert [each.done() for each in flood] == [False, False, True, True]
    assert [each.done() for each in polite] == [False, True]
    await queue.finish()
    await asyncio.gather(*flood, *polite, return_exceptions=True)
    assert queue.begun == ["a", "flood 0", "polite 0", "flood 1"]


async def test_half_closed_orders_do_not_fill_the_queue() -> None:
    queue = Queue(limit=2)
    await queue.add("a")
    for name in "bc":
        await queue.add(name, Stays(Waiting(True)))
    with pytest.raises(QueueFull):
        await queue.enter(queue.timeout, Stays(Waiting(True)))
    await queue.add("d")
    await queue.finish()
    assert queue.begun == ["a", "d"]
