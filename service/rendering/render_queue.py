"""The queue of the orders that wait to be rendered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.bounded_queue import QueueFull
from service.pictures.demand import Demand
from service.pictures.values import Owner
from service.rendering.fairness import FairQueue, WaitingOrder


class _QueuedOrder(WaitingOrder):
    """An order that waits for its *place*."""

    def __init__(self, demand: Demand | None, owner: Owner | None, seconds: float, limit: float) -> None:
        super().__init__(demand, owner, seconds, limit)
        self.place: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class RenderQueue:
    """Gives orders one of *places*. At most *limit* orders wait for one.

    An order whose clients are all half-closed comes after all others. If others wait when its turn would come, it is
    refused: its clients may have left.

    *changed* is called with the number of waiting orders after every change.
    """

    def __init__(self, places: int, limit: int, changed: Callable[[int], None]) -> None:
        self._free, self._limit, self._changed = places, limit, changed
        self._waiting: FairQueue[_QueuedOrder] = FairQueue()

    @property
    def waiting(self) -> int:
        """The number of orders that wait."""
        return len(self._waiting)

    async def enter(
        self, timeout: float, demand: Demand | None, owner: Owner | None = None, seconds: float = 0.0
    ) -> None:
        """Wait for a place, which the caller gives back by `leave`.

        The order is for the clients of *demand*, and concerns *owner*, as far as they are known. It takes *seconds*.

        Raise `QueueFull` after *timeout* seconds, and when the order is refused: because *limit* orders wait already,
        none of which is half-closed or of a client with more orders, or because of a later one.
        """
        if self._free and not self._waiting:
            self._free -= 1
            return
        order = _QueuedOrder(demand, owner, seconds, timeout)
        self._waiting.add(order)
        if len(self._waiting) > self._limit and not order.half_closed:
            self._refuse_half_closed()
        if len(self._waiting) > self._limit:
            self._refuse(self._waiting.surplus())
        self._changed(len(self._waiting))
        timer = asyncio.get_running_loop().call_later(timeout, self._expire, order)  # `asyncio.timeout` takes longer
        try:
            await order.place
        except asyncio.CancelledError:
            self._withdraw(order)
            raise
        finally:
            timer.cancel()

    def leave(self) -> None:
        """Give a place back: the next order gets it."""
        self._free += 1
        while self._free and self._waiting:
            self._refuse_half_closed(unless_all=True)
            order = self._waiting.next()
            if not order.place.done():  # otherwise its task is being cancelled
                self._free -= 1
                order.place.set_result(None)
            self._changed(len(self._waiting))

    def _expire(self, order: _QueuedOrder) -> None:
        if not order.place.done():
            self._refuse(order)
            self._changed(len(self._waiting))

    def _withdraw(self, order: _QueuedOrder) -> None:
        if not order.place.done() or order.place.cancelled():
            if order in self._waiting:
                self._waiting.remove(order)
                self._changed(len(self._waiting))
        elif order.place.exception() is None:
            self.leave()  # it got its place just before

    def _refuse_half_closed(self, *, unless_all: bool = False) -> None:
        half_closed = [each for each in self._waiting if each.half_closed]
        if not unless_all or len(half_closed) < len(self._waiting):
            for order in half_closed:
                self._refuse(order)

    def _refuse(self, order: _QueuedOrder) -> None:
        self._waiting.remove(order)
        if not order.place.done():
            order.place.set_exception(QueueFull())
