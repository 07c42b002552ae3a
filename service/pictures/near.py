"""Stored pictures of a near store: their bytes are read together with their description, and never copied into Redis.

What is read is true at that time, so it needs no record: a shared one exists for renditions only. Memory keeps it while
a record would be fresh. If it contradicts what this process knows of the contact, the caller asks for a new record,
which tells the fleet.
"""

from __future__ import annotations

import time
from collections.abc import Container
from typing import NamedTuple

from service.errors import PictureError
from service.formats import Format
from service.pictures import records
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.lifetimes import RecordLifetimes, jitter
from service.pictures.originals import STORE_ERRORS, Originals
from service.pictures.ports import Loaded, Observer
from service.pictures.single_flight import SingleFlight
from service.pictures.trace import Trace
from service.pictures.values import RECORD, STORED, Entry, Original, OriginalChanged, OriginalEmpty, StoredEntry


class Seen(NamedTuple):
    """The stored picture, fresh until *until*, or the *error* of the store.

    Without both, use the record, which must be renewed if the picture has *changed*.
    """

    entry: StoredEntry | None
    until: float = 0.0
    changed: bool = False
    error: PictureError | None = None


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

    def see_at_once(self, contact: int, trace: Trace, formats: Container[Format]) -> Seen | None:
        """Return the stored picture from memory if it is fresh, or else from the store, if it has one of *formats*.

        Return None if the store must be waited for, by `see`.
        """
        held, now = self.held(contact), time.time()
        known = held or self._cache.local(contact, RECORD)
        if known is not None and not _may_be_sent(known, formats):
            return Seen(None)
        until = self._until(held) if held else 0.0
        if held and now < until <= now + self._lifetimes.fresh:
            self._observer.cache("memory", "hit")
            trace.ttl = int(until - now)
            return Seen(held, until)
        if held and self._is_usable(until) and self._originals.failing():
            return self._stale(held, until, trace)
        epoch = self._cache.epoch(contact)
        with trace.timed("store"):
            loaded = self._originals.load_at_once(contact, self._most)
        if loaded is None:
            return None
        self._count_miss(held, trace)
        return self._seen(contact, known, _entry_of(loaded, now), epoch, formats)

    async def see(self, contact: int, trace: Trace, formats: Container[Format]) -> Seen:
        """Return the stored picture from the store, if it has one of *formats*. Call `see_at_once` first.

        If the store fails, what memory has is served as a stale record is. Raise `OriginalChanged`.
        """
        held, epoch = self.held(contact), self._cache.epoch(contact)
        self._count_miss(held, trace)
        try:
            found = await self._read_once(contact, epoch, trace)
        except STORE_ERRORS as error:
            if held is None or not self._is_usable(until := self._until(held)):
                return Seen(None, error=error)
            trace.fwd = None
            return self._stale(held, until, trace)
        return self._seen(contact, held or self._cache.local(contact, RECORD), found, epoch, formats)

    async def read(self, original: Original, trace: Trace) -> StoredEntry:
        """Return the bytes of *original*. Raise `OriginalChanged` if there are others, and the errors of the store."""
        trace.fwd = trace.fwd or "miss"
        epoch = self._cache.epoch(original.contact)
        found = await self._read_once(original.contact, epoch, trace)
        if found is None or found.version != original.version or len(found.body) != original.size:
            raise OriginalChanged
        self._cache.keep(original.contact, STORED, found, epoch)
        return found

    async def close(self) -> None:
        """Cancel the reads under way."""
        await self._flights.close()

    def _seen(
        self, contact: int, known: Entry | None, found: StoredEntry | None, epoch: int, formats: Container[Format]
    ) -> Seen:
        """Put what was *found* in the store into memory, and return it, if *known* has the same version."""
        if known is not None and (found is None or known.version != found.version):
            return Seen(None, changed=True)
        if found is None or not _is_sound(found.original) or found.original.format not in formats:
            return Seen(None)
        self._cache.keep(contact, STORED, found, epoch)
        return Seen(found, self._until(found))

    def _until(self, entry: StoredEntry) -> float:
        return entry.stored_at + self._lifetimes.fresh * jitter(entry)

    def _stale(self, held: StoredEntry, until: float, trace: Trace) -> Seen:
        trace.ttl = -int(time.time() - until) - 1
        self._observer.stale_served()
        return Seen(held, until)

    def _is_usable(self, until: float) -> bool:
        """Return whether a picture that was fresh until *until* may be served while the store fails."""
        return 0 <= time.time() - until < self._lifetimes.stale_if_error

    def _count_miss(self, held: StoredEntry | None, trace: Trace) -> None:
        self._observer.cache("memory", "miss")
        trace.fwd = "stale" if held else "miss"

    async def _read_once(self, contact: int, epoch: int, trace: Trace) -> StoredEntry | None:
        """Read the picture, once for simultaneous requests in one *epoch*. None: there is none."""
        with trace.timed("store"):
            found, collapsed = await self._flights.join((contact, epoch), lambda: self._read(contact))
        if collapsed:
            trace.collapsed = True
            self._observer.collapsed()
        return found

    async def _read(self, contact: int) -> StoredEntry | None:
        since = time.time()
        try:
            loaded = await self._originals.load(contact, self._most)
        except OriginalEmpty:
            return None
        if loaded is None:
            return None
        if loaded.data is None and loaded.original.size <= self._most:
            raise OriginalChanged
        return _entry_of(loaded, since)


def _may_be_sent(known: Entry, formats: Container[Format]) -> bool:
    """Return False if *known*, a stored picture or a record, says that there is none that is sent as stored."""
    try:
        original = known.original if isinstance(known, StoredEntry) else records.decode(known.body)
    except ValueError:
        return False
    return original is not None and _is_sound(original) and original.format in formats


def _entry_of(loaded: Loaded, since: float) -> StoredEntry:
    """Return the entry of what was read from the store after *since* (Unix seconds)."""
    return StoredEntry(loaded.original.version, since, "", loaded.data or b"", loaded.original)


def _is_sound(original: Original) -> bool:
    return original.fault is None or not original.fault.permanent
