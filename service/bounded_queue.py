"""A bound on the tasks that wait for the same thing, and on the time that each of them waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class QueueFull(Exception):
    """Too many tasks wait already, or a task waited for too long."""


class BoundedQueue:
    """At most *limit* tasks wait at the same time, each for at most *timeout* seconds (None: no limit).

    *changed* is called with the number of waiting tasks when it changes.
    """

    def __init__(self, limit: int, timeout: float | None, changed: Callable[[int], None] = lambda _: None) -> None:
        self._limit, self._timeout, self._changed = limit, timeout, changed
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """The number of tasks that wait."""
        return self._waiting

    async def wait(self, arrival: Callable[[], Awaitable[object]]) -> None:
        """Wait for what *arrival* returns, e.g. `semaphore.acquire` or `event.wait`.

        Raise `QueueFull` when *limit* tasks wait already, without calling *arrival*, and when the time is over.
        """
        if self._waiting >= self._limit:
            raise QueueFull
        self._change(+1)
        try:
            async with asyncio.timeout(self._timeout):
                await arrival()
        except TimeoutError as error:
            raise QueueFull from error
        finally:
            self._change(-1)

    def _change(self, by: int) -> None:
        self._waiting += by
        self._changed(self._waiting)
