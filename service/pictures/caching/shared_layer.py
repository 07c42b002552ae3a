"""The shared cache as a layer that may fail: every failure becomes a miss. This is the only module that fails open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from service.breaker import CircuitBreaker
from service.formats import Initials
from service.outage import Outage
from service.pictures.ports import CacheFull, CacheUnavailable, Observer, SharedCache
from service.pictures.trace import Trace
from service.pictures.values import Owner, contact_of

T = TypeVar("T")
log = structlog.get_logger()

_MAX_UNANSWERED = 2
"""Unanswered lookups of one request, after which it does without the shared cache."""
_MAX_CALLS = 1_000
"""Background calls at the same time."""
_MAX_BYTES = 67_108_864
"""Bytes that all background calls carry together."""


class SharedLayer:
    """Calls to *cache*, which is None when there is no shared cache."""

    def __init__(self, cache: SharedCache | None, observer: Observer) -> None:
        self.cache = cache
        self._observer = observer
        self._breaker = CircuitBreaker(threshold=3, pause=1.0)
        self._outage, self._outage_of_puts = Outage(), Outage()
        self._background: set[asyncio.Task[None]] = set()
        self._by_contact: dict[int | str | Initials, set[asyncio.Task[None]]] = {}
        """The background calls again, by contact: an overloaded service has many, and few of one contact."""
        self._bytes = 0

    @property
    def breaker_open(self) -> bool:
        """Whether the shared cache has failed several times in a row, and has not answered since."""
        return self._breaker.open

    async def ask(self, call: Callable[[SharedCache], Awaitable[T]], trace: Trace) -> T | None:
        """Return the result of *call*, which a request waits for; None when there is no answer in time."""
        cache = self.cache
        if cache is None:
            return None
        if trace.unanswered >= _MAX_UNANSWERED or not self._breaker.admits():
            self._observer.cache("shared", "unavailable")
            return None
        begun = time.perf_counter()  # a context manager takes longer, on every hit in Redis
        try:
            found = await call(cache)
        except CacheFull as error:  # a full cache still answers lookups, so the breaker stays closed
            self._breaker.succeeded()
            self._put_failed(error)
            return None
        except CacheUnavailable as error:
            trace.unanswered += 1
            self._ask_failed(error)
            return None
        finally:
            trace.add("cache", begun, shared=True)
            self._observer.took("cache", time.perf_counter() - begun)
        if self._outage.lasts and self._outage.answered():
            log.info("cache.back", failures=self._outage.failures)
        self._breaker.succeeded()
        return found

    def in_background(
        self,
        owner: Owner,
        call: Callable[[SharedCache], Awaitable[object]],
        *,
        size: int = 0,
        after_others: bool = False,
        trace: Trace | None = None,
    ) -> None:
        """Run *call*, which concerns *owner* and carries *size* bytes, without a request waiting for it.

        If it puts an entry that the request of *trace* has made, it is noted there.

        With *after_others*, it runs after the background calls of the same contact that were started before. The call
        is dropped while the breaker is open, and when too many calls or bytes are under way.
        """
        cache = self.cache
        if cache is None or self._breaker.open:
            return
        if len(self._background) >= _MAX_CALLS or self._bytes + size > _MAX_BYTES:
            self._observer.cache("shared", "put_dropped")
            return
        contact = contact_of(owner)
        earlier = tuple(self._by_contact.get(contact, ())) if after_others else ()

        async def run() -> None:
            self._bytes += size
            begun = time.perf_counter()
            try:
                if earlier:
                    await asyncio.wait(earlier)
                await call(cache)
            except CacheUnavailable as error:  # no answer depends on it; the next request renders again
                self._put_failed(error)
            else:
                self._outage_of_puts.answered()
            finally:
                self._bytes -= size
                if trace is not None:
                    trace.beside("put", begun)

        def ended(task: asyncio.Task[None]) -> None:
            self._background.discard(task)
            tasks = self._by_contact[contact]
            tasks.discard(task)
            if not tasks:
                del self._by_contact[contact]

        task = asyncio.create_task(run())
        self._background.add(task)
        self._by_contact.setdefault(contact, set()).add(task)
        task.add_done_callback(ended)

    async def settle(self) -> None:
        """Wait until all background calls have ended. Every call is bounded in time."""
        while self._background:
            await asyncio.wait(self._background)

    async def check(self) -> str:
        """Return a short description of the shared cache. Raise `CacheUnavailable` when it does not answer."""
        return "memory alone" if self.cache is None else await self.cache.check()

    async def close(self) -> None:
        """Wait for the background calls, then close the shared cache."""
        await self.settle()
        if self.cache is not None:
            await self.cache.close()

    def _put_failed(self, error: CacheUnavailable) -> None:
        self._observer.cache("shared", "put_failed")
        if self._outage_of_puts.failed():
            log.warning("cache.puts_fail", reason=str(error))

    def _ask_failed(self, error: CacheUnavailable) -> None:
        self._breaker.failed()
        self._observer.cache("shared", "unavailable")
        if self._breaker.open and self._outage.failed():
            log.warning("cache.unavailable", reason=str(error))
