"""One picture in all processes: purges that reach everyone, and what everyone tells."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from service.pictures.caching.fail_open import FailOpenCache
from service.pictures.ports import CacheUnavailable, MemoryTier, Observer
from service.pictures.values import Owner, contact_of

log = structlog.get_logger()

_START = 1.0
"""Seconds for which the start waits until others are heard."""
_PAUSE = 0.5
"""Seconds before a purge that was not acknowledged is tried again."""
_MOST_OWED = 10_000
"""Contacts whose purge is owed; more than that are purged all at once."""


class Coherence:
    """A `Purges`, and the `Listener` of what other processes tell about this one's *memory*."""

    def __init__(self, memory: MemoryTier, reach: FailOpenCache, observer: Observer) -> None:
        self._memory, self._reach, self._observer = memory, reach, observer
        self._heard, self._tried = False, asyncio.Event()
        self._owed: set[int] = set()
        self._all_owed = False
        self._paying: asyncio.Task[None] | None = None
        self._expected: dict[str, asyncio.Event] = {}

    async def start(self) -> None:
        """Begin to listen; returns when others are heard, or cannot be for the time being."""
        if self._reach.shared is not None:
            self._reach.shared.listen(self)
            with suppress(TimeoutError):  # then they are heard later
                async with asyncio.timeout(_START):
                    await self._tried.wait()

    @property
    def heard(self) -> bool:
        """Whether purges elsewhere are heard of. If not, nothing may be believed for longer than it is fresh."""
        return self._heard or self._reach.shared is None

    def clean(self, owner: Owner) -> bool:
        """Whether the shared cache may be believed about *owner*: no purge of it is owed."""
        if not self._owed and not self._all_owed:
            return True
        return not self._all_owed and contact_of(owner) not in self._owed

    async def purge(self, contact: int) -> bool:
        self._observer.purged()
        self._memory.forget(contact)
        if self._reach.shared is not None:
            try:
                await self._reach.shared.purge(contact)
            except CacheUnavailable as error:
                self._owe(contact, error)
        self._memory.forget(contact)  # again: the old may have been looked up meanwhile
        return self.clean(contact)

    async def purge_all(self) -> None:
        self._observer.purged()
        self._memory.forget(None)
        if self._reach.shared is not None:
            try:
                await self._reach.shared.purge_all()
            except CacheUnavailable as error:
                self._owe(None, error)
        self._memory.forget(None)

    def forget(self, contact: int) -> int:
        """Drop what this process holds of *contact*; the epoch that begins."""
        self._memory.forget(contact)
        return self._memory.epoch(contact)

    def tell(self, contact: int) -> None:
        """Tell the other processes, once all that was put so far has arrived, that what they hold of *contact* is
        old."""
        self._reach.behind(lambda shared: shared.tell(contact), last=True)

    @contextmanager
    def expecting(self, name: str) -> Iterator[asyncio.Event]:
        """An event that is set when the lead of that *name* ends, or when nothing is heard any more."""
        event = self._expected.setdefault(name, asyncio.Event())
        try:
            yield event
        finally:
            if self._expected.get(name) is event:
                del self._expected[name]

    async def close(self) -> None:
        """Give up what is owed: it is old for `fresh_for` at most."""
        if self._paying is not None:
            self._paying.cancel()
            await asyncio.gather(self._paying, return_exceptions=True)

    # What other processes tell.

    def purged(self, contact: int | None) -> None:
        self._memory.forget(contact)

    def arrived(self, name: str) -> None:
        if (event := self._expected.pop(name, None)) is not None:
            event.set()

    def listening(self, up: bool) -> None:
        if up and not self._heard:
            self._memory.forget(None)  # what was told meanwhile is lost
        self._heard = up
        self._tried.set()
        if not up:
            while self._expected:
                self._expected.popitem()[1].set()

    def _owe(self, contact: int | None, error: CacheUnavailable) -> None:
        if not self._owed and not self._all_owed:
            log.warning("cache.purge_owed", reason=str(error))
        if contact is None or len(self._owed) >= _MOST_OWED:
            self._all_owed = True
            self._owed.clear()
        else:
            self._owed.add(contact)
        if self._paying is None or self._paying.done():
            self._paying = asyncio.create_task(self._pay())

    async def _pay(self) -> None:
        """Purge what is owed, until all of it is acknowledged."""
        shared = self._reach.shared
        assert shared is not None
        while self._owed or self._all_owed:
            await asyncio.sleep(_PAUSE)
            try:
                if self._all_owed:
                    await shared.purge_all()
                    self._all_owed = False
                while self._owed:
                    contact = next(iter(self._owed))
                    await shared.purge(contact)
                    self._memory.forget(contact)
                    self._owed.discard(contact)
            except CacheUnavailable:
                continue  # told once already; tried until it is acknowledged
        log.info("cache.purges_paid")
