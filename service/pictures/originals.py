"""Originals: their records in the cache, how long a record is used, and the reads of the store."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import structlog

from service.breaker import CircuitBreaker
from service.errors import StoreFailed, StoreTimedOut
from service.outage import Outage
from service.pictures import records
from service.pictures.caching.picture_cache import PictureCache, PutToken
from service.pictures.failures import unexpired
from service.pictures.lifetimes import RecordLifetimes, jitter
from service.pictures.ports import Admission, Loaded, Observer, OriginalStore
from service.pictures.single_flight import SingleFlight
from service.pictures.trace import Trace
from service.pictures.values import DOUBTED, PIECE, RECORD, STORED, Entry, Original, OriginalEmpty, Pieces
from service.system.open_file import OpenFile

T = TypeVar("T")
log = structlog.get_logger()

STORE_ERRORS = StoreFailed, StoreTimedOut

_CLOCK_SKEW = 5.0
"""Seconds that another host's clock may be ahead while its records still count as fresh."""


@dataclass(frozen=True, slots=True)
class RecordedOriginal:
    """A contact's original (None: it has none) and its record, which is fresh until *until* (Unix seconds).

    It is *doubted*, and stale, if a process has found no picture since. Each process asks its own store then.
    """

    original: Original | None
    record: Entry
    until: float
    doubted: bool = False


class Originals:
    """The originals of a *store*, and their records in the *cache*. *admission* limits the lookups of unknown ones."""

    def __init__(
        self,
        store: OriginalStore,
        cache: PictureCache,
        observer: Observer,
        lifetimes: RecordLifetimes,
        admission: Admission,
    ) -> None:
        self._store, self._cache, self._observer, self._admission = store, cache, observer, admission
        self._lifetimes = lifetimes
        self._flights = SingleFlight()
        self._breaker = CircuitBreaker(threshold=3, pause=1.0)
        self._outage = Outage()

    async def look_up(self, contact: int, trace: Trace, likely: str | None = None) -> RecordedOriginal | None:
        """Return the original of *contact* as its record says, fresh or not. None: there is no record.

        If the record is looked up in the shared cache, the entry in the field *likely* is too, and is put into *trace*.
        """
        with trace.timed("cache"):
            entry = self._cache.local(contact, RECORD)
        if entry is not None:
            self._observer.cache("memory", "hit")
        elif likely is None or self._cache.local(contact, likely) is not None:
            entry = await self._cache.get(contact, RECORD, trace)
        elif found := await self._cache.get_both(contact, RECORD, likely, trace):
            entry, trace.found = found[0], (likely, found[1])
        if entry is None:
            return None
        try:
            original = records.decode(entry.body)
        except ValueError:
            return None  # a foreign record, or one of another release
        if original is not None and (original.contact != contact or original.version != entry.version):
            return None  # a foreign record
        return self._with_expiry(original, entry)

    async def find(
        self, contact: int, recorded: RecordedOriginal | None, trace: Trace, *, reload: bool
    ) -> RecordedOriginal:
        """Return the original of *contact*, from its record if that may be used; with *reload*, from the store.

        *recorded* is the result of `look_up`. Raise the errors of the store, and `Overloaded` if there is no record and
        a render could not begin in time.
        """
        trace.unknown = recorded is None
        if recorded is None and (*self._key(contact), reload) not in self._flights:
            trace.fwd = "miss"
            self._admission.require(trace)
            with self._admission.count(trace):
                return await self._ask_store_once(contact, None, trace, reload=reload)
        if recorded is None or reload:
            trace.fwd = "miss"
            return await self._ask_store_once(contact, recorded, trace, reload=reload)
        if self.is_fresh(recorded, trace):
            return recorded
        stale = time.time() - recorded.until
        if stale < 0:  # the record is from the future: the clock of the host that wrote it is wrong
            trace.fwd = "miss"
            return await self._ask_store_once(contact, None, trace)
        usable = stale < self._lifetimes.stale_while_revalidate and self._cache.subscribed
        # A missing original is looked up before the answer, so that the first picture of a contact is shown soon.
        if usable and recorded.original is not None and not recorded.doubted:
            self._flights.start(self._key(contact), lambda: self._revalidate(contact, recorded))
            return self._stale(recorded, stale, trace)
        if not self._breaker.admits() and stale < self._lifetimes.stale_if_error:
            return self._stale(recorded, stale, trace)
        trace.fwd = "stale"
        try:
            return await self._ask_store_once(contact, recorded, trace)
        except STORE_ERRORS:
            if stale >= self._lifetimes.stale_if_error:
                raise
        trace.fwd = None
        return self._stale(recorded, stale, trace)

    def is_fresh(self, recorded: RecordedOriginal, trace: Trace) -> bool:
        """Return whether *recorded* is fresh, and note in *trace* for how long."""
        now = time.time()
        if not now < recorded.until <= now + self._lifetimes.fresh + _CLOCK_SKEW:
            return False
        trace.ttl = int(recorded.until - now)
        return True

    async def current(self, original: Original, trace: Trace) -> Original:
        """Return *original* with the fault, strikes and failures that its record has now."""
        recorded = await self.look_up(original.contact, trace)
        if recorded is not None and recorded.original is not None and recorded.original.version == original.version:
            return recorded.original
        return original

    async def read(self, original: Original, trace: Trace) -> bytes:
        """Return the bytes of *original*. Raise `OriginalChanged` and the errors of the store."""
        with trace.timed("store"):
            return await self._timed(self._store.read(original))

    @property
    def near(self) -> bool:
        """Whether the store is near."""
        return self._store.near

    @property
    def breaker_open(self) -> bool:
        """Whether the store has failed several times in a row, and has not answered since."""
        return self._breaker.open

    def failing(self) -> bool:
        """Return whether the store has failed, so that it is not to be asked now."""
        return not self._breaker.admits()

    def load_at_once(self, contact: int, most: int) -> Loaded | None:
        """Return the original of *contact* and its bytes, as `OriginalStore.load_at_once` does."""
        begun = time.perf_counter()
        if (loaded := self._store.load_at_once(contact, most)) is not None:
            self._observer.store_read()
            self._observer.took("store", time.perf_counter() - begun)
            self._breaker.succeeded()
        return loaded

    async def load(self, contact: int, most: int) -> Loaded | None:
        """Return the original of *contact* and its bytes, as `OriginalStore.load` does."""
        return await self._counted(self._store.load(contact, most))

    async def open(self, original: Original, trace: Trace) -> bytes | OpenFile:
        """Return the open file of *original*, or its bytes. Raise as `read`."""
        with trace.timed("store"):
            return await self._timed(self._store.open(original))

    async def stream(self, original: Original, span: range, trace: Trace) -> Pieces:
        """Return the bytes of *original* at *span*, in pieces. Raise as `read`."""
        with trace.timed("store"):
            return await self._timed(self._store.stream(original, PIECE, span))

    async def record_attempt(self, original: Original, token: PutToken, trace: Trace) -> None:
        """Record the fault, strikes and failures of *original*, for all processes of the fleet.

        The record keeps its age: the store was not asked, and failed renders must not keep a record fresh.
        """
        recorded = await self.look_up(original.contact, trace)
        if recorded is not None and (recorded.original is None or recorded.original.version != original.version):
            return  # the original has been replaced
        since = time.time() if recorded is None else recorded.record.stored_at
        await self._record(original, original.contact, token, since=since)
        self._cache.announce(original.contact)

    async def close(self) -> None:
        """Cancel the lookups under way."""
        await self._flights.close()

    async def _record(
        self, original: Original | None, contact: int, token: PutToken, *, since: float
    ) -> RecordedOriginal:
        """Put the record of *original*, which describes the store at *since* (Unix seconds)."""
        record = Entry(original.version if original else "", since, "", records.encode(original))
        life = self._lifetimes.kept if original else self._lifetimes.missing
        await self._cache.put(contact, RECORD, record, token, life=life * jitter(record), sole=original is None)
        return self._with_expiry(original, record)

    def _stale(self, recorded: RecordedOriginal, seconds: float, trace: Trace) -> RecordedOriginal:
        trace.ttl = -int(seconds) - 1
        self._observer.stale_served()
        return recorded

    def _with_expiry(self, original: Original | None, record: Entry) -> RecordedOriginal:
        life = self._lifetimes.fresh if original else self._lifetimes.missing
        doubted = record.detail == DOUBTED
        until = record.stored_at + (0 if doubted else life * jitter(record))
        return RecordedOriginal(original, record, until, doubted=doubted)

    def _key(self, contact: int) -> tuple[int, int]:
        return contact, self._cache.epoch(contact)

    async def _ask_store_once(
        self, contact: int, recorded: RecordedOriginal | None, trace: Trace, *, reload: bool = False
    ) -> RecordedOriginal:
        key = (*self._key(contact), reload)
        found, _ = await self._flights.join(key, lambda: self._ask_store(contact, recorded, trace))
        return found

    async def _revalidate(self, contact: int, recorded: RecordedOriginal) -> None:
        """Ask the store in the background, unless another process has done so since."""
        try:
            found = await self._cache.shared(contact, (RECORD,), Trace())
            if found and (entry := found[0]) is not None and entry.stored_at > recorded.record.stored_at:
                return
            if self._breaker.admits():
                await self._ask_store(contact, recorded, Trace())
        except STORE_ERRORS:
            pass  # `_ask_store` has logged it

    async def _ask_store(self, contact: int, recorded: RecordedOriginal | None, trace: Trace) -> RecordedOriginal:
        """Ask the store for the original, and put a new record."""
        token = await self._cache.fence(contact, trace)
        before, held = recorded.original if recorded else None, self._cache.local(contact, STORED)
        known = [each.version for each in (before, held) if each is not None]
        try:
            with trace.timed("store"):
                found = await self._counted(self._store.find(contact, known=bool(known)))
        except OriginalEmpty:  # not recorded: a copy may be under way
            now = time.time()
            return RecordedOriginal(None, Entry("", now, "", records.MISSING), until=now)
        changed = any(found is None or found.version != version for version in known)
        if found and before and found.version == before.version:
            before = await self.current(before, trace)  # renders may have failed since
            kept = None if before.fault and before.fault.permanent else before.fault  # `find` finds permanent ones
            failures = unexpired(before.failures, time.time())
            found = replace(found, fault=found.fault or kept, failures=failures)
            found = replace(found, strikes=before.strikes, strike_extent=before.strike_extent)
        if changed:
            token = replace(token, epoch=self._cache.forget(contact))
        latest = await self._record(found, contact, token, since=time.time())
        if changed and not (found is None and recorded and recorded.doubted):  # the absence has been announced
            self._cache.announce(contact)
        return latest

    async def _counted(self, asking: Coroutine[Any, Any, T]) -> T:
        """Return what the store answers. Whether it does is counted: after failures it is asked once a second."""
        try:
            found = await self._timed(asking)
        except OriginalEmpty:
            self._breaker.succeeded()
            raise
        except STORE_ERRORS as error:
            if self._outage.failed():
                log.warning("store.trouble", reason=str(error), cause=repr(error.__cause__))
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        self._outage.answered()
        return found

    async def _timed(self, asking: Coroutine[Any, Any, T]) -> T:
        """Return what the store answers. The call and its duration are counted."""
        self._observer.store_read()
        begun = time.perf_counter()
        try:
            return await asking
        finally:
            self._observer.took("store", time.perf_counter() - begun)
