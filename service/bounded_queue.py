"""A limit on the number of tasks that wait for a resource, and on the time that one of them waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class QueueFull(Exception):
    """Too many tasks wait already, or the task has waited too long."""


class BoundedQueue:
    """Lets at most *limit* tasks wait at a time, and one task for at most *timeout* seconds (None: without a limit).

    *changed* is called with the number of waiting tasks after every change.
    """

    def __init__(self, limit: int, timeout: float | None, changed: Callable[[int], None] = lambda _: None) -> None:
        self._limit, self._timeout, self._changed = limit, timeout, changed
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """The number of tasks that wait."""
        return self._waiting

    async def wait(self, arrival: Callable[[], Awaitable[object]]) -> None:
        """Wait for the awaitable that *arrival* returns, for example `semaphore.acquire` or `event.wait`.

        Raises `QueueFull` when *limit* tasks wait already (without a call of *arrival*), and after *timeout* seconds.
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
