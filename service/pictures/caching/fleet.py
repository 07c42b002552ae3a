"""Single flight across processes and hosts: whoever leads makes it, the others wait for its arrival."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from service.pictures.caching.coherence import Coherence
from service.pictures.caching.fail_open import FailOpenCache
from service.pictures.caching.tiers import Ticket, TieredCache
from service.pictures.ports import CacheUnavailable, Grant, SharedCache
from service.pictures.trace import Trace
from service.pictures.values import Entry, Owner

_MARGIN = 0.05
"""Seconds after a lock should have ended, before its end is looked for."""


class FleetFlights:
    """Leads are held for *lease* seconds, and renewed; nobody waits for longer than *patience* seconds."""

    def __init__(
        self, tiers: TieredCache, reach: FailOpenCache, coherence: Coherence, *, lease: float, patience: float
    ) -> None:
        self._tiers, self._reach, self._coherence = tiers, reach, coherence
        self._lease, self._patience = lease, patience

    async def join(
        self,
        owner: Owner,
        field: str,
        version: str,
        make: Callable[[Ticket], Awaitable[tuple[Entry, bool]]],
        trace: Trace,
    ) -> tuple[Entry, bool, bool]:
        """The entry of that *version*: somebody else's, or what *make* gives with whether it has put it.

        Says whether it was put here, and whether it was somebody else's. When whoever leads fails, dies, or is not
        heard of any more, the next one leads, or goes on alone.
        """
        found = await self._wait(owner, field, version, trace)
        if isinstance(found, Entry):
            return found, False, True
        grant, shared, put = found.grant, self._reach.shared, False
        if grant is None or grant.lock is None or shared is None:
            return *await make(found), False
        renewing = asyncio.create_task(self._renew(shared, grant))
        try:
            entry, put = await make(found)
            return entry, put, False
        finally:
            renewing.cancel()
            if not put:  # or else the lead is given back with it
                self._reach.behind(lambda shared: shared.release(grant), last=True)

    async def _wait(self, owner: Owner, field: str, version: str, trace: Trace) -> Entry | Ticket:
        shared, until = self._reach.shared, time.monotonic() + self._patience
        if shared is None:
            return await self._tiers.lead(owner, field, version, trace)
        waited = False
        while True:
            with self._coherence.expecting(shared.arrival(owner, field)) as arrival:
                found = await self._tiers.lead(owner, field, version, trace)
                if isinstance(found, Entry):
                    return found
                found = replace(found, waited=waited)
                if found.grant is None or not found.grant.others:
                    return found
                if not self._coherence.heard or (left := until - time.monotonic()) <= 0:
                    return found  # and go on alone
                waited = True
                with suppress(TimeoutError), trace.timed("queue"):  # then the lock has ended, or is about to
                    async with asyncio.timeout(min(found.grant.others + _MARGIN, left)):
                        await arrival.wait()

    async def _renew(self, shared: SharedCache, grant: Grant) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            with suppress(CacheUnavailable):  # tried again before the lease has ended; after it, others lead
                if not await shared.renew(grant):
                    return
