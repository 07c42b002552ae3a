"""Single flight within a process: requests join identical work that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from service.ending import end
from service.pictures.demand import Client, Demand

T = TypeVar("T")


class _Flight:
    """A task, and the clients that wait for its result."""

    def __init__(self, task: asyncio.Task[Any], demand: Demand) -> None:
        self.task, self.demand = task, demand


class SingleFlight:
    """Tasks under way, by key. Every task ends in bounded time, so the table is bounded too."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flights

    async def join(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, bool]:
        """Return the result of *work*, and whether another caller had started it.

        When a caller is cancelled, the work continues.
        """
        collapsed = key in self._flights
        return await asyncio.shield(self.start(key, work)), collapsed

    async def join_while_wanted(
        self, key: Hashable, client: Client | None, work: Callable[[Demand], Coroutine[Any, Any, T]]
    ) -> tuple[T, bool]:
        """Return the same. When all callers are cancelled, the work is, unless a holder of its demand lets it continue.

        *client* is the one that this caller serves.
        """
        flight = self._flights.get(key)
        collapsed = flight is not None
        if flight is None:
            demand = Demand(lambda: self._abandon(key, demand))
            flight = self._start(key, work(demand), demand)
        with flight.demand.joined(client):
            return await asyncio.shield(flight.task), collapsed

    def start(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Return the task of *key*. If there is none, start *work*."""
        flight = self._flights.get(key) or self._start(key, work(), Demand(lambda: None))
        return flight.task

    async def close(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        await end(*self._tasks)

    def _start(self, key: Hashable, work: Coroutine[Any, Any, Any], demand: Demand) -> _Flight:
        flight = self._flights[key] = _Flight(asyncio.create_task(work), demand)
        self._tasks.add(flight.task)
        flight.task.add_done_callback(lambda task: self._ended(key, task))
        return flight

    def _abandon(self, key: Hashable, demand: Demand) -> None:
        """Cancel the task for which no caller waits. Later callers start another one."""
        flight = self._flights.get(key)
        if flight is not None and flight.demand is demand:
            del self._flights[key]
            flight.task.cancel()

    def _ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # all callers may have been cancelled: asyncio warns of exceptions that are not retrieved
