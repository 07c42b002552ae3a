"""The queue of the orders that wait to be rendered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.bounded_queue import QueueFull
from service.pictures.demand import Demand


class _WaitingOrder:
    """An order that waits for its place. *demand* is None if its clients are unknown."""

    def __init__(self, demand: Demand | None) -> None:
        self.demand = demand
        self.place: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def half_closed(self) -> bool:
        return self.demand is not None and self.demand.half_closed


class RenderQueue:
    """Gives orders one of *places*. At most *limit* orders wait for one, each for at most *timeout* seconds.

    An order whose clients are all half-closed comes after all others. If others wait when its turn would come, it is
    refused: its clients may have left.

    *changed* is called with the number of waiting orders after every change.
    """

    def __init__(self, places: int, limit: int, timeout: float, changed: Callable[[int], None]) -> None:
        self._free, self._limit, self._timeout, self._changed = places, limit, timeout, changed
        self._waiting: list[_WaitingOrder] = []

    @property
    def waiting(self) -> int:
        """The number of orders that wait."""
        return len(self._waiting)

    async def enter(self, demand: Demand | None) -> None:
        """Wait for a place, which the caller gives back by `leave`.

        Raise `QueueFull` when *limit* orders wait already, after *timeout* seconds, and when the order is refused.
        """
        if self._free and not self._waiting:
            self._free -= 1
            return
        order = _WaitingOrder(demand)
        if len(self._waiting) >= self._limit and not order.half_closed:
            self._refuse_half_closed()
        if len(self._waiting) >= self._limit:
            raise QueueFull
        self._waiting.append(order)
        self._changed(len(self._waiting))
        try:
            async with asyncio.timeout(self._timeout):
                await order.place
        except TimeoutError as error:
            self._withdraw(order)
            raise QueueFull from error
        except asyncio.CancelledError:
            self._withdraw(order)
            raise

    def leave(self) -> None:
        """Give a place back: the next order gets it."""
        self._free += 1
        while self._free and self._waiting:
            if not all(each.half_closed for each in self._waiting):
                self._refuse_half_closed()
            order = self._waiting[0]
            self._remove(order)
            self._free -= 1
            order.place.set_result(None)

    def _withdraw(self, order: _WaitingOrder) -> None:
        if order in self._waiting:
            self._remove(order)
        elif not order.place.cancelled() and order.place.exception() is None:
            self.leave()  # it got its place just before

    def _refuse_half_closed(self) -> None:
        for order in [each for each in self._waiting if each.half_closed]:
            self._remove(order)
            order.place.set_exception(QueueFull())

    def _remove(self, order: _WaitingOrder) -> None:
        self._waiting.remove(order)
        self._changed(len(self._waiting))
