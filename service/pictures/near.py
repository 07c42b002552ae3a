"""Stored pictures of a near store: their bytes are read together with their description, and never copied into Redis.

What is read is true at that time, so it needs no record: a shared one exists for renditions only. Memory keeps it while
a record would be fresh. If it contradicts what this process knows of the contact, the caller asks for a new record,
which tells the fleet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from service.pictures import records
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.lifetimes import RecordLifetimes, jitter
from service.pictures.originals import STORE_ERRORS, Originals
from service.pictures.ports import Observer
from service.pictures.single_flight import SingleFlight
from service.pictures.trace import Trace
from service.pictures.values import RECORD, STORED, Original, OriginalChanged, OriginalEmpty, StoredEntry


class Seen(NamedTuple):
    """The stored picture (None: use the record), fresh until *until*. It is *changed* if the record must be renewed."""

    entry: StoredEntry | None
    until: float = 0.0
    changed: bool = False


class NearPictures:
    """The stored pictures of *originals*, in memory while they are fresh. Bodies have *most* bytes at most."""

    def __init__(
        self, originals: Originals, cache: PictureCache, observer: Observer, lifetimes: RecordLifetimes, *, most: int
    ) -> None:
        self._originals, self._cache, self._observer = originals, cache, observer
        self._lifetimes, self._most = lifetimes, most
        self._flights = SingleFlight()

    @property
    def near(self) -> bool:
        """Whether the store is near."""
        return self._originals.near

    def held(self, contact: int) -> StoredEntry | None:
        """Return what memory has, fresh or not."""
        entry = self._cache.local(contact, STORED)
        return entry if isinstance(entry, StoredEntry) else None

    def contradicts(self, contact: int, version: str) -> bool:
        """Return whether memory has another version than a record's: one of the two is out of date."""
        held = self.held(contact) if self.near else None
        return held is not None and held.version != version

    async def see(self, contact: int, trace: Trace, is_sendable: Callable[[Original], bool]) -> Seen:
        """Return the stored picture from memory if it is fresh, or else from the store, if *is_sendable*.

        If the store fails, what memory has is served as a stale record is. Raise `OriginalChanged` and the errors of
        the store.
        """
        held, now = self.held(contact), time.time()
        if not self._may_be_sent(contact, held, is_sendable):
            return Seen(None)
        until = self._until(held) if held else 0.0
        if held and now < until <= now + self._lifetimes.fresh:
            self._observer.cache("memory", "hit")
            trace.ttl = int(until - now)
            return Seen(held, until)
        usable = held is not None and 0 <= now - until < self._lifetimes.stale_if_error
        if held and usable and self._originals.failing():
            return self._stale(held, until, trace)
        self._observer.cache("memory", "miss")
        trace.fwd = "stale" if held else "miss"
        try:
            found = await self._read_once(contact, trace)
        except STORE_ERRORS:
            if held is None or not usable:
                raise
            trace.fwd = None
            return self._stale(held, until, trace)
        known = held or self._cache.local(contact, RECORD)
        if known is not None and (found is None or known.version != found.version):
            return Seen(None, changed=True)
        if found is None or not _is_sound(found.original) or not is_sendable(found.original):
            return Seen(None)
        return Seen(found, self._until(found))

    async def read(self, original: Original, trace: Trace) -> StoredEntry:
        """Return the bytes of *original*. Raise `OriginalChanged` if there are others, and the errors of the store."""
        trace.fwd = trace.fwd or "miss"
        found = await self._read_once(original.contact, trace)
        if found is None or found.version != original.version or len(found.body) != original.size:
            raise OriginalChanged
        return found

    async def close(self) -> None:
        """Cancel the reads under way."""
        await self._flights.close()

    def _may_be_sent(self, contact: int, held: StoredEntry | None, is_sendable: Callable[[Original], bool]) -> bool:
        """Return False if this process knows that there is no picture, or none that is sent as stored."""
        if held is not None:
            return is_sendable(held.original)
        record = self._cache.local(contact, RECORD)
        if record is None:
            return True
        try:
            original = records.decode(record.body)
        except ValueError:
            return False
        return original is not None and _is_sound(original) and is_sendable(original)

    def _until(self, entry: StoredEntry) -> float:
        return entry.stored_at + self._lifetimes.fresh * jitter(entry)

    def _stale(self, held: StoredEntry, until: float, trace: Trace) -> Seen:
        trace.ttl = -int(time.time() - until) - 1
        self._observer.stale_served()
        return Seen(held, until)

    async def _read_once(self, contact: int, trace: Trace) -> StoredEntry | None:
        """Read the picture, once for simultaneous requests, and put it into memory. None: there is none to be sent."""
        epoch = self._cache.epoch(contact)
        with trace.timed("store"):
            found, joined = await self._flights.join((contact, epoch), lambda: self._read(contact, epoch))
        if joined:
            trace.collapsed = True
            self._observer.collapsed()
        return found

    async def _read(self, contact: int, epoch: int) -> StoredEntry | None:
        since = time.time()
        try:
            loaded = await self._originals.load(contact, self._most)
        except OriginalEmpty:
            return None
        if loaded is None:
            return None
        original, data = loaded
        if data is None and original.size <= self._most:
            raise OriginalChanged
        entry, held = StoredEntry(original.version, since, "", data or b"", original), self.held(contact)
        if not _is_sound(original):
            return entry
        if held is None or held.version == original.version:  # another one stays until the record is renewed
            self._cache.keep(contact, STORED, entry, epoch)
        return entry


def _is_sound(original: Original) -> bool:
    return original.fault is None or not original.fault.permanent
