"""Stored pictures of a near store: their bytes are read together with their description, and never copied into Redis.

What is read is true at that time, so it needs no record: a shared one exists for renditions only. Memory keeps it while
a record would be fresh. If it contradicts what this process knows of the contact, the caller asks for a new record,
which tells the fleet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container
from enum import Enum
from typing import NamedTuple

from service.errors import PictureError
from service.formats import Format
from service.pictures import records
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.lifetimes import RecordLifetimes, jitter
from service.pictures.originals import STORE_ERRORS, Originals
from service.pictures.ports import Observer
from service.pictures.trace import Trace
from service.pictures.values import RECORD, STORED, Original, OriginalChanged, OriginalEmpty, StoredEntry


class _Abandoned(Enum):
    """The result of a read whose request was cancelled."""

    ABANDONED = 0


_ABANDONED = _Abandoned.ABANDONED


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
        self._reads: dict[tuple[int, int], asyncio.Future[StoredEntry | _Abandoned | None]] = {}

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

    async def see(self, contact: int, trace: Trace, formats: Container[Format]) -> Seen:
        """Return the stored picture from memory if it is fresh, or else from the store, if it has one of *formats*.

        If the store fails, what memory has is served as a stale record is. Raise `OriginalChanged`.
        """
        held, now = self.held(contact), time.time()
        if not self._may_be_sent(contact, held, formats):
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
        trace.fwd, epoch = "stale" if held else "miss", self._cache.epoch(contact)
        try:
            found = await self._read_once(contact, epoch, trace)
        except STORE_ERRORS as error:
            if held is None or not usable:
                return Seen(None, error=error)
            trace.fwd = None
            return self._stale(held, until, trace)
        known = held or self._cache.local(contact, RECORD)
        if known is not None and (found is None or known.version != found.version):
            return Seen(None, changed=True)
        if found is None or not _is_sound(found.original) or found.original.format not in formats:
            return Seen(None)
        self._cache.keep(contact, STORED, found, epoch)
        return Seen(found, self._until(found))

    async def read(self, original: Original, trace: Trace) -> StoredEntry:
        """Return the bytes of *original*. Raise `OriginalChanged` if there are others, and the errors of the store."""
        trace.fwd = trace.fwd or "miss"
        epoch = self._cache.epoch(original.contact)
        found = await self._read_once(original.contact, epoch, trace)
        if found is None or found.version != original.version or len(found.body) != original.size:
            raise OriginalChanged
        self._cache.keep(original.contact, STORED, found, epoch)
        return found

    def _may_be_sent(self, contact: int, held: StoredEntry | None, formats: Container[Format]) -> bool:
        """Return False if this process knows that there is no picture, or none that is sent as stored."""
        if held is not None:
            return held.original.format in formats
        record = self._cache.local(contact, RECORD)
        if record is None:
            return True
        try:
            original = records.decode(record.body)
        except ValueError:
            return False
        return original is not None and _is_sound(original) and original.format in formats

    def _until(self, entry: StoredEntry) -> float:
        return entry.stored_at + self._lifetimes.fresh * jitter(entry)

    def _stale(self, held: StoredEntry, until: float, trace: Trace) -> Seen:
        trace.ttl = -int(time.time() - until) - 1
        self._observer.stale_served()
        return Seen(held, until)

    async def _read_once(self, contact: int, epoch: int, trace: Trace) -> StoredEntry | None:
        """Read the picture, once for simultaneous requests in one *epoch*. None: there is none."""
        key = contact, epoch
        with trace.timed("store"):
            while (reading := self._reads.get(key)) is not None:
                found = await asyncio.shield(reading)
                if found is not _ABANDONED:
                    trace.collapsed = True
                    self._observer.collapsed()
                    return found
            return await self._lead(key)

    async def _lead(self, key: tuple[int, int]) -> StoredEntry | None:
        """Read the picture. Others wait for this read meanwhile; if it is cancelled, one of them reads."""
        reading = self._reads[key] = asyncio.get_running_loop().create_future()
        try:
            found = await self._read(key[0])
            reading.set_result(found)
            return found
        except Exception as error:  # of any class: the requests that wait for this read get it too
            reading.set_exception(error)
            reading.exception()  # no other request may wait: asyncio warns of exceptions that are not retrieved
            raise
        finally:
            del self._reads[key]
            if not reading.done():
                reading.set_result(_ABANDONED)

    async def _read(self, contact: int) -> StoredEntry | None:
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
        return StoredEntry(original.version, since, "", data or b"", original)


def _is_sound(original: Original) -> bool:
    return original.fault is None or not original.fault.permanent
