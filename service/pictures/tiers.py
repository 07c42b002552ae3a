"""The cache as the use case sees it: memory, then the shared cache, failing open. The one place that does so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from service.pictures.ports import CacheUnavailable, MemoryTier, Observer, RenditionCache
from service.pictures.trace import Trace
from service.pictures.values import Entry, EntryHead, Owner

T = TypeVar("T")
log = structlog.get_logger()


class Breaker:
    """Opens after *threshold* failures in a row, and lets one call in *pause* seconds try again.

    On the loop's clock: a library that reads the wall clock would stay open through a step of it.
    """

    def __init__(self, threshold: int, pause: float) -> None:
        self._threshold, self._pause = threshold, pause
        self._failures = 0
        self._retry_at = 0.0

    @property
    def open(self) -> bool:
        """Whether calls are refused at present, the next trial aside."""
        return self._failures >= self._threshold

    def admits(self) -> bool:
        """Whether a call may be made now; while open, the caller that is let in is the trial."""
        if not self.open:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._pause
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures = 0

    def failed(self) -> None:
        """A call was not answered."""
        self._failures += 1
        self._retry_at = time.monotonic() + self._pause


class Tiers:
    """Memory in front of an optional shared cache.

    *timeout* bounds one look-up and *patience* all of a request's together, in seconds. Puts go on
    after the answer: at most *max_puts* at once, and bodies of *max_body* bytes.
    """

    def __init__(
        self,
        memory: MemoryTier,
        shared: RenditionCache | None,
        observer: Observer,
        *,
        timeout: float,
        patience: float = 0.06,
        max_puts: int = 64,
        put_timeout: float,
        max_body: int,
    ) -> None:
        self._memory, self._shared, self._observer = memory, shared, observer
        self._timeout, self._patience = timeout, patience
        self._max_puts, self._put_timeout = max_puts, put_timeout
        self.max_body = max_body
        self._puts: set[asyncio.Task[None]] = set()
        self._puts_fail = False
        self.breaker = Breaker(threshold=3, pause=1.0)

    def near(self, owner: Owner, field: str) -> Entry | None:
        """The entry if it is in memory; not counted as a look-up."""
        return self._memory.near(owner, field)

    async def get(self, owner: Owner, field: str, trace: Trace) -> Entry | None:
        """The entry from the nearest layer that holds it."""
        with trace.timed("cache"):
            entry = self._memory.near(owner, field)
        self._observer.cache("memory", "miss" if entry is None else "hit")
        if entry is not None or self._shared is None or trace.unknown:
            return entry
        entry = await self._ask(self._shared.get, owner, field, trace)
        if entry is not None:
            await self._memory.put(owner, field, entry)
        return entry

    async def head(self, owner: Owner, field: str, trace: Trace) -> EntryHead | None:
        """What is known of the entry, without reading it."""
        if head := await self._memory.head(owner, field):
            self._observer.cache("memory", "hit")
            return head
        self._observer.cache("memory", "miss")
        if self._shared is None or trace.unknown:
            return None
        return await self._ask(self._shared.head, owner, field, trace)

    async def put(self, owner: Owner, field: str, entry: Entry) -> bool:
        """Keep *entry* here at once and in the shared cache later. Says whether it is kept for long."""
        await self._memory.put(owner, field, entry)  # a large one too: slow readers share it
        if len(entry.body) > self.max_body:
            return False
        if self._shared is not None and len(self._puts) < self._max_puts and not self.breaker.open:
            task = asyncio.create_task(self._put(self._shared, owner, field, entry))
            self._puts.add(task)
            task.add_done_callback(self._puts.discard)
        return True

    async def check(self) -> str:
        """What the shared cache says of itself (else the memory cache). Raises `CacheUnavailable`."""
        if self._shared is None:
            return await self._memory.check()
        try:
            words = await _patiently(self._shared.check(), self._put_timeout)
        except TimeoutError as error:
            raise CacheUnavailable(f"no answer within {self._put_timeout} s") from error
        return words

    async def settle(self) -> None:
        """Wait until the puts under way have ended; each is bounded in time."""
        await asyncio.gather(*self._puts)

    async def close(self) -> None:
        """End the puts, close both layers."""
        await self.settle()
        await self._memory.close()
        if self._shared is not None:
            await self._shared.close()

    async def _ask(
        self, call: Callable[[Owner, str], Coroutine[Any, Any, T | None]], owner: Owner, field: str, trace: Trace
    ) -> T | None:
        patience = min(self._timeout, self._patience - trace.seconds.get("cache", 0.0))
        if patience <= 0 or not self.breaker.admits():
            self._observer.cache("shared", "unavailable")
            return None
        with trace.timed("cache"):
            try:
                found = await _patiently(call(owner, field), patience)
            except (CacheUnavailable, TimeoutError) as error:
                self._failed(error)
                return None
        if self.breaker.open:
            log.info("cache.back")
        self.breaker.succeeded()
        self._observer.cache("shared", "miss" if found is None else "hit")
        return found

    def _failed(self, error: Exception) -> None:
        was_open = self.breaker.open
        self.breaker.failed()
        self._observer.cache("shared", "unavailable")
        if self.breaker.open and not was_open:
            log.warning("cache.unavailable", reason=str(error) or "no answer in time")

    async def _put(self, shared: RenditionCache, owner: Owner, field: str, entry: Entry) -> None:
        try:
            await shared.put(owner, field, entry)
        except CacheUnavailable as error:  # the answer does not depend on it; the next request renders again
            self._observer.cache("shared", "put_failed")
            if not self._puts_fail:
                log.warning("cache.puts_fail", reason=str(error))
            self._puts_fail = True
        else:
            self._puts_fail = False


async def _patiently(call: Coroutine[Any, Any, T], timeout: float) -> T:
    """The result of *call*, or TimeoutError; then it is left to end within its own time limits, not cancelled.

    A client cancelled amid its handshake returns to its pool out of step, and could give a request another's answer.
    """
    task = asyncio.create_task(call)
    done, _ = await asyncio.wait((task,), timeout=timeout)
    if not done:
        task.add_done_callback(lambda late: late.cancelled() or late.exception())  # fetched, so asyncio is quiet
        raise TimeoutError
    return task.result()
