"""Purges that reach every process of the fleet, and the purges that other processes announce."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from service.ending import end
from service.pictures.caching.memory import MemoryCache
from service.pictures.ports import CacheUnavailable, Observer, SharedCache
from service.pictures.values import Owner, contact_of

log = structlog.get_logger()

_START_TIMEOUT = 1.0
"""Seconds that the start waits for the subscription."""
_RETRY_PAUSE = 0.5
"""Seconds between two attempts at the pending purges."""
_MAX_PENDING = 10_000
"""Contacts with a pending purge. With more than that, everything is purged instead."""


class Purges:
    """Purges of *memory* and of the *shared* cache (None: there is none)."""

    def __init__(self, memory: MemoryCache, shared: SharedCache | None, observer: Observer) -> None:
        self._memory, self._shared, self._observer = memory, shared, observer
        self._is_subscribed = False
        self._subscription_tried = asyncio.Event()
        self._pending: set[int] = set()
        self._all_pending = False
        self._retrying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Subscribe to purges. Return when the subscription is up or has failed once, or after `_START_TIMEOUT`."""
        if self._shared is not None:
            self._shared.subscribe(self._memory.forget, self._subscription_changed)
            with suppress(TimeoutError):  # further attempts are made in the background
                async with asyncio.timeout(_START_TIMEOUT):
                    await self._subscription_tried.wait()

    @property
    def subscribed(self) -> bool:
        """Whether the purges of other processes reach this one. True without a shared cache."""
        return self._is_subscribed or self._shared is None

    @property
    def owed(self) -> int:
        """The number of pending purges. That of all contacts is one."""
        return len(self._pending) + self._all_pending

    def pending(self, owner: Owner) -> bool:
        """Whether a purge of *owner* is pending, so that the shared cache may hold stale entries of it."""
        if not self._pending and not self._all_pending:
            return False
        return self._all_pending or contact_of(owner) in self._pending

    async def purge(self, contact: int | None) -> bool:
        """Drop all entries of *contact* (None: of all contacts) in every process.

        Return False when the purge is pending: it is then retried until the shared cache acknowledges it.
        """
        self._observer.purged()
        self._memory.forget(contact)
        if self._shared is not None:
            try:
                await self._shared.purge(contact)
            except CacheUnavailable as error:
                self._postpone(contact, error)
        self._memory.forget(contact)  # a lookup may have brought stale entries back before the purge was acknowledged
        return not self._all_pending if contact is None else not self.pending(contact)

    async def close(self) -> None:
        """Give up the pending purges. What they concern is served for no longer than it is fresh."""
        if self._retrying is not None:
            await end(self._retrying)

    def _subscription_changed(self, up: bool) -> None:
        self._is_subscribed = up
        self._subscription_tried.set()

    def _postpone(self, contact: int | None, error: CacheUnavailable) -> None:
        if not self._pending and not self._all_pending:
            log.warning("cache.purge_owed", reason=str(error))
        if contact is None or len(self._pending) >= _MAX_PENDING:
            self._all_pending = True
            self._pending.clear()
        else:
            self._pending.add(contact)
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        """Repeat the pending purges until the shared cache has acknowledged all of them."""
        assert self._shared is not None
        while self._pending or self._all_pending:
            await asyncio.sleep(_RETRY_PAUSE)
            try:
                if self._all_pending:
                    await self._shared.purge(None)
                    self._all_pending = False
                while self._pending:
                    contact = next(iter(self._pending))
                    await self._shared.purge(contact)
                    self._memory.forget(contact)
                    self._pending.discard(contact)
            except CacheUnavailable:
                continue  # `_postpone` has logged it
        log.info("cache.purges_paid")
