"""Asking the shared cache, and going on without it. The one place that fails open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from service.breaker import CircuitBreaker
from service.pictures.ports import CacheFull, CacheUnavailable, Observer, SharedCache
from service.pictures.trace import Trace

T = TypeVar("T")
log = structlog.get_logger()

_FAILURES = 2
"""Look-ups of a request that may go without an answer; then it goes on without the cache."""
_MOST_BEHIND, _MOST_BYTES = 1_000, 67_108_864
"""Calls under way that no request waits for, and the bytes that they carry."""


class FailOpenCache:
    """*shared* within reach, or None where there is no such cache."""

    def __init__(self, shared: SharedCache | None, observer: Observer) -> None:
        self.shared = shared
        self._observer = observer
        self._breaker = CircuitBreaker(threshold=3, pause=1.0)
        self._behind: set[asyncio.Task[None]] = set()
        self._carried = 0
        self._failing = False

    async def ask(self, call: Callable[[SharedCache], Awaitable[T]], trace: Trace) -> T | None:
        """What *call* gives, which a request waits for; None when there is no answer in time."""
        shared = self.shared
        if shared is None:
            return None
        if trace.unanswered >= _FAILURES or not self._breaker.admits():
            self._observer.cache("shared", "unavailable")
            return None
        with trace.timed("cache"):
            try:
                found = await call(shared)
            except CacheFull as error:  # what it holds is asked for all the same
                self._breaker.succeeded()
                self._put_failed(error)
                return None
            except CacheUnavailable as error:
                trace.unanswered += 1
                self._failed(error)
                return None
        if self._breaker.open:
            log.info("cache.back")
        self._breaker.succeeded()
        return found

    def behind(self, call: Callable[[SharedCache], Awaitable[object]], *, size: int = 0, last: bool = False) -> None:
        """Have *call*, which carries *size* bytes, made after the answer, and *last*: after what was begun so far.

        Not if too much is under way.
        """
        shared = self.shared
        if shared is None or self._breaker.open:
            return
        if len(self._behind) >= _MOST_BEHIND or self._carried + size > _MOST_BYTES:
            self._observer.cache("shared", "put_dropped")
            return
        before = tuple(self._behind) if last else ()

        async def make() -> None:
            self._carried += size
            try:
                if before:
                    await asyncio.wait(before)
                await call(shared)
            except CacheUnavailable as error:  # the answer does not depend on it; the next request renders again
                self._put_failed(error)
            else:
                self._failing = False
            finally:
                self._carried -= size

        task = asyncio.create_task(make())
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def settle(self) -> None:
        """Wait until what goes on behind the answers has ended; each call is bounded in time."""
        while self._behind:
            await asyncio.wait(self._behind)

    async def check(self) -> str:
        """What the shared cache says of itself. Raises `CacheUnavailable`."""
        return "memory alone" if self.shared is None else await self.shared.check()

    async def close(self) -> None:
        """End what is under way, and let go of the cache."""
        await self.settle()
        if self.shared is not None:
            await self.shared.close()

    def _put_failed(self, error: CacheUnavailable) -> None:
        self._observer.cache("shared", "put_failed")
        if not self._failing:
            log.warning("cache.puts_fail", reason=str(error))
        self._failing = True

    def _failed(self, error: Exception) -> None:
        was_open = self._breaker.open
        self._breaker.failed()
        self._observer.cache("shared", "unavailable")
        if self._breaker.open and not was_open:
            log.warning("cache.unavailable", reason=str(error))
