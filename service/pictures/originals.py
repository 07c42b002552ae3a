"""What is known of contacts' originals: looked at, recorded, believed while it is fresh, and for a while longer."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from zlib import crc32

import structlog

from service.breaker import CircuitBreaker
from service.errors import StoreFailed, StoreTimedOut
from service.pictures import records
from service.pictures.caching.coherence import Coherence
from service.pictures.caching.tiers import Ticket, TieredCache
from service.pictures.failures import lasting
from service.pictures.flights import Flights
from service.pictures.ports import Observer, OriginalStore
from service.pictures.trace import Trace
from service.pictures.values import RECORD, Entry, Original, OriginalEmpty

log = structlog.get_logger()

STORE_ERRORS = StoreFailed, StoreTimedOut

_SKEW = 5.0
"""Seconds by which another host's clock may be ahead of ours and its record still count as fresh."""
_JITTER = 0.1
"""The share by which a lifetime may be shorter, so that nothing expires together."""


@dataclass(frozen=True, slots=True)
class RecordLifetimes:
    """Seconds: for how long an original's state, its absence and its fault are believed; for how long a state is
    served stale while it is looked at again, and while it cannot be; and for how long anything is kept."""

    fresh: float
    missing: float
    unrenderable: float
    stale_while_revalidate: float
    stale_if_error: float
    kept: float


@dataclass(frozen=True, slots=True)
class KnownOriginal:
    """A contact's original, None if it has none, and the record that says so; *until* (Unix seconds) it is fresh."""

    original: Original | None
    record: Entry
    until: float


class Originals:
    """The originals of a *store*, as the records in the cache know them."""

    def __init__(
        self,
        store: OriginalStore,
        cache: TieredCache,
        coherence: Coherence,
        observer: Observer,
        lifetimes: RecordLifetimes,
    ) -> None:
        self._store, self._cache, self._coherence, self._observer = store, cache, coherence, observer
        self._lifetimes = lifetimes
        self._flights = Flights()
        self._trouble = CircuitBreaker(threshold=3, pause=1.0)

    async def find(self, contact: int, trace: Trace, *, anew: bool) -> KnownOriginal:
        """What the store holds for *contact*, as fresh as the lifetimes demand. Raises the store's errors."""
        known = await self._recorded(contact, trace)
        trace.unknown = known is None
        if known is None or anew:
            trace.fwd = "miss"
            return await self._look_once(contact, known, trace, anew=anew)
        now = time.time()
        if now < known.until <= now + self._lifetimes.fresh + _SKEW:
            trace.ttl = int(known.until - now)
            return known
        stale = now - known.until
        if stale < 0:  # another's clock is astray
            trace.fwd = "miss"
            return await self._look_once(contact, None, trace)
        usable = stale < self._lifetimes.stale_while_revalidate and self._coherence.heard
        if usable and known.original is not None:  # a picture that was missing should show soon
            self._flights.start(self._key(contact), lambda: self._revalidate(contact, known))
            return self._stale(known, stale, trace)
        if not self._trouble.admits() and stale < self._lifetimes.stale_if_error:
            return self._stale(known, stale, trace)
        trace.fwd = "stale"
        try:
            return await self._look_once(contact, known, trace)
        except STORE_ERRORS:
            if stale >= self._lifetimes.stale_if_error:
                raise
        trace.fwd = None
        return self._stale(known, stale, trace)

    async def recorded(self, original: Original, trace: Trace) -> Original:
        """*original* with what has been recorded against it since."""
        known = await self._recorded(original.contact, trace)
        if known is not None and known.original is not None and known.original.version == original.version:
            return known.original
        return original

    async def remember(
        self, original: Original | None, contact: int, ticket: Ticket, *, since: float | None = None
    ) -> KnownOriginal:
        """Record what is known *since* that time (Unix seconds); the present time, if not given."""
        looked_at = time.time() if since is None else since
        record = Entry(original.version if original else "", looked_at, "", records.encode(original))
        life = self._lifetimes.kept if original else self._lifetimes.missing
        await self._cache.put(contact, RECORD, record, ticket, life=life * jitter(record), alone=original is None)
        return self._known(original, record)

    async def charge(self, original: Original, ticket: Ticket, trace: Trace) -> None:
        """Record what is held against *original*, for all processes: each of them would try it anew.

        The record stays as old as it was: the store was not looked at, and many charges must not keep it fresh.
        """
        known = await self._recorded(original.contact, trace)
        if known is not None and (known.original is None or known.original.version != original.version):
            return  # another picture has taken its place
        since = None if known is None else known.record.stored_at
        await self.remember(original, original.contact, ticket, since=since)
        self._coherence.tell(original.contact)

    async def close(self) -> None:
        """Cancel the looks under way."""
        await self._flights.close()

    async def _recorded(self, contact: int, trace: Trace) -> KnownOriginal | None:
        with trace.timed("cache"):
            entry = self._cache.local(contact, RECORD)
        if entry is None:  # all who wait for it look it up together
            look_up = self._flights.join((*self._key(contact), RECORD), lambda: self._cache.get(contact, RECORD, trace))
            entry, _ = await look_up
            if entry is None:
                return None
        else:
            self._observer.cache("memory", "hit")
        try:
            original = records.decode(entry.body)
        except ValueError:
            return None  # another version's or a foreign record: look, and put our own
        return self._known(original, entry) if original is None or original.contact == contact else None

    def _stale(self, known: KnownOriginal, seconds: float, trace: Trace) -> KnownOriginal:
        trace.ttl = -int(seconds) - 1
        self._observer.stale_served()
        return known

    def _known(self, original: Original | None, record: Entry) -> KnownOriginal:
        life = self._lifetimes.fresh if original else self._lifetimes.missing
        return KnownOriginal(original, record, record.stored_at + life * jitter(record))

    def _key(self, contact: int) -> tuple[int, int]:
        return contact, self._cache.epoch(contact)

    async def _look_once(
        self, contact: int, known: KnownOriginal | None, trace: Trace, *, anew: bool = False
    ) -> KnownOriginal:
        key = (*self._key(contact), anew)
        found, _ = await self._flights.join(key, lambda: self._look(contact, known, trace))
        return found

    async def _revalidate(self, contact: int, known: KnownOriginal) -> None:
        """Look again behind the answer; another process may have done so already."""
        try:
            fresher = await self._cache.shared(contact, (RECORD,), Trace())
            if fresher and (entry := fresher[0]) is not None and entry.stored_at > known.record.stored_at:
                return
            if self._trouble.admits():
                await self._look(contact, known, Trace())
        except STORE_ERRORS:
            pass  # the store told its trouble where it was met; what is known is served stale as long as it may be

    async def _look(self, contact: int, known: KnownOriginal | None, trace: Trace) -> KnownOriginal:
        ticket = await self._cache.fence(contact, trace)
        self._observer.store_read()
        before = known.original if known else None
        try:
            with trace.timed("store"):
                found = await self._store.look(contact)
        except OriginalEmpty:  # not recorded: the absence counts for this request alone
            self._trouble.succeeded()
            now = time.time()
            return KnownOriginal(None, Entry("", now, "", records.MISSING), until=now)
        except STORE_ERRORS as error:
            if not self._trouble.open:
                log.warning("store.trouble", reason=str(error), cause=repr(error.__cause__))
            self._trouble.failed()
            raise
        self._trouble.succeeded()
        changed = before is not None and (found is None or found.version != before.version)
        if found and before and not changed:
            before = await self.recorded(before, trace)  # what failed meanwhile is held against it too
            kept = None if before.fault and before.fault.permanent else before.fault  # that one was just judged anew
            failures = lasting(before.failures, time.time())
            found = replace(found, fault=found.fault or kept, strikes=before.strikes, failures=failures)
        if changed:
            ticket = replace(ticket, epoch=self._coherence.forget(contact))
        latest = await self.remember(found, contact, ticket)
        if changed:
            self._coherence.tell(contact)
        return latest


def jitter_of(text: str) -> float:
    """What to multiply a lifetime with: for the same *text* the same in every process."""
    return 1.0 - _JITTER * (crc32(text.encode()) & 0xFFFF) / 0x10000


def jitter(entry: Entry) -> float:
    """`jitter_of` that entry, another one each time that it is put."""
    return jitter_of(f"{entry.version}{entry.stored_at}")
