"""The cache of pictures as the use case sees it. The package's docstring is its theory of operation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from service.pictures.caching.memory import MemoryCache, MemoryUsage
from service.pictures.caching.purges import Purges
from service.pictures.caching.shared_layer import SharedLayer
from service.pictures.lifetimes import jitter
from service.pictures.ports import CacheUnavailable, FenceToken, Lease, Observer, SharedCache
from service.pictures.trace import Trace
from service.pictures.values import ABSENCE, DOUBTED, RECORD, Entry, EntryHead, Owner

T = TypeVar("T")

_LEASE_MARGIN = 0.05
"""Seconds after the expected end of another process's lease, before this process tries to get it."""


@dataclass(frozen=True, slots=True)
class PutToken:
    """Permission to put an entry, obtained before the store is read. A purge makes it void.

    *epoch* is for memory, *shared* for the shared cache: without it the entry stays in this process. *waited* says that
    another process held the lease before and did not make the entry.
    """

    epoch: int
    shared: FenceToken | None = None
    waited: bool = False

    def without_lease(self) -> PutToken:
        """Return a token for a further entry of the same contact: its put does not release the lease."""
        return self if self.shared is None else PutToken(self.epoch, FenceToken(self.shared.fence))


class Fetched(NamedTuple):
    """An entry, and how it was obtained: found in the cache, or *made* for this request.

    An entry that was made is *stored* if this process has put it. It is made *elsewhere* if another process did it.
    """

    entry: Entry
    made: bool = False
    stored: bool = False
    elsewhere: bool = False


class PictureCache:
    """Memory in front of a *shared* cache (None: there is none), kept coherent with the rest of the fleet.

    Memory holds *memory_bytes* bytes. Bodies of more than *max_body* bytes are not put into the shared cache. A request
    waits for the renders of other processes for *max_wait* seconds at most.
    """

    def __init__(
        self, shared: SharedCache | None, observer: Observer, *, memory_bytes: int, max_body: int, max_wait: float
    ) -> None:
        self._memory = MemoryCache(memory_bytes)
        self._layer = SharedLayer(shared, observer)
        self._purges = Purges(self._memory, shared, observer)
        self._observer, self._max_wait = observer, max_wait
        self.max_body = max_body

    # Lookups

    def local(self, owner: Owner, field: str) -> Entry | None:
        """Return the entry if it is in memory. This lookup is not counted."""
        return self._memory.get(owner, field)

    async def get(self, owner: Owner, field: str, trace: Trace) -> Entry | None:
        """Return the entry from memory or from the shared cache."""
        entry = self._memory.get(owner, field)
        self._observer.cache("memory", "miss" if entry is None else "hit")
        if entry is not None or trace.unknown:
            return entry
        found = await self.shared(owner, (field,), trace)
        return found[0] if found else None

    async def get_both(self, owner: Owner, one: str, other: str, trace: Trace) -> list[Entry | None] | None:
        """Return the entries in two fields, neither of which is in memory, by one lookup in the shared cache.

        Return None when the shared cache does not answer.
        """
        for _ in (one, other):
            self._observer.cache("memory", "miss")
        return await self.shared(owner, (one, other), trace)

    async def shared(self, owner: Owner, fields: Sequence[str], trace: Trace) -> list[Entry | None] | None:
        """Return the entries from the shared cache, by one lookup, and put them into memory.

        An entry in memory that is at least as new stays there and is returned: its put may be under way. A record that
        is older than the absence beside it has the detail `DOUBTED`, and is not put into memory. Return None when the
        shared cache does not answer.
        """
        epoch = self._memory.epoch(owner)
        asked = (*fields, ABSENCE) if RECORD in fields else fields
        if self._purges.pending(owner):
            return None
        found = await self._layer.ask(lambda shared: shared.get(owner, asked), trace)
        if found is None:
            return None
        absence = found.pop() if asked is not fields else None
        for at, (field, entry) in enumerate(zip(fields, found, strict=True)):
            self._observer.cache("shared", "miss" if entry is None else "hit")
            if entry is None:
                continue
            held = self._memory.get(owner, field)
            if held is not None and held.stored_at > entry.stored_at:
                found[at] = held
            elif field == RECORD and absence is not None and absence.stored_at >= entry.stored_at:
                found[at] = replace(entry, detail=DOUBTED)
            elif held is not None and held.stored_at == entry.stored_at:
                found[at] = held
            else:
                self._memory.put(owner, field, entry, epoch)
        return found

    async def head(self, owner: Owner, field: str, trace: Trace) -> EntryHead | None:
        """Return the head of the entry, without reading its body from the shared cache."""
        if entry := self._memory.get(owner, field):
            self._observer.cache("memory", "hit")
            return EntryHead(entry.version, entry.detail, len(entry.body))
        self._observer.cache("memory", "miss")
        if trace.unknown:
            return None
        head = await self._ask(owner, lambda shared: shared.head(owner, field), trace)
        if head is not None:
            self._observer.cache("shared", "hit")
        return head

    async def is_led(self, owner: Owner, field: str, trace: Trace) -> bool:
        """Return whether a process holds the lease of the entry, so that the entry is about to come."""
        return self.subscribed and bool(await self._ask(owner, lambda shared: shared.is_led(owner, field), trace))

    # Puts

    async def fence(self, owner: Owner, trace: Trace) -> PutToken:
        """Return a token for a later put. Call it before the store is read."""
        epoch = self._memory.epoch(owner)
        return PutToken(epoch, await self._ask(owner, lambda shared: shared.fence(owner), trace))

    def keep(self, owner: Owner, field: str, entry: Entry, epoch: int) -> None:
        """Put *entry* into memory alone. *epoch* is the owner's from before the store was read."""
        self._memory.put(owner, field, entry, epoch)

    async def put(
        self,
        owner: Owner,
        field: str,
        entry: Entry,
        token: PutToken,
        *,
        life: float,
        sole: bool = False,
        trace: Trace | None = None,
    ) -> bool:
        """Put *entry* into memory now and into the shared cache in the background, where it lives for *life* seconds.

        With *sole*, it is the record of a missing picture, which the shared cache puts in place of all entries of the
        owner, or beside the record of a picture. *trace* is that of the request that has made the entry. Return whether
        it is small enough for the shared cache.
        """
        self._memory.put(owner, field, entry, token.epoch)  # a large one too: slow readers share it
        if len(entry.body) > self.max_body:
            return False
        if (fence := token.shared) is not None:
            self._layer.in_background(
                owner,
                lambda shared: shared.put(owner, field, entry, fence, life=life, sole=sole),
                size=len(entry.body),
                trace=trace,
            )
        return True

    async def make_once(
        self,
        owner: Owner,
        field: str,
        version: str,
        make: Callable[[PutToken], Awaitable[Entry]],
        trace: Trace,
        *,
        life: float,
        on_wait: Callable[[], None] | None = None,
    ) -> Fetched:
        """Have the entry of that *version* made by one process of the fleet, and return it.

        *make* is called if this process gets the lease, or if it cannot wait for the process that holds it. The entry
        is put for *life* seconds, shortened by `jitter`. *on_wait* is called when another process makes it.
        """
        found = await self._lead_or_follow(owner, field, version, trace, on_wait)
        if isinstance(found, Entry):
            return Fetched(found, made=True, elsewhere=True)
        lease = found.shared.lease if found.shared else None
        renewing = self._renewed(lease) if lease else None
        stored = False
        try:
            entry = await make(found)
            stored = await self.put(owner, field, entry, found, life=life * jitter(entry), trace=trace)
            return Fetched(entry, made=True, stored=stored)
        finally:
            if renewing:
                renewing.cancel()
            if lease and not stored:  # a put releases the lease itself
                self._layer.in_background(owner, lambda shared: shared.release(lease), after_others=True)

    # Purges

    async def purge(self, contact: int | None) -> bool:
        """Drop all entries of *contact* (None: of all contacts) in every process. Return False while it is pending."""
        return await self._purges.purge(contact)

    def forget(self, contact: int) -> int:
        """Drop all entries of *contact* in this process. Return the epoch that begins."""
        self._memory.forget(contact)
        return self._memory.epoch(contact)

    def announce(self, contact: int) -> None:
        """Have the other processes drop *contact* from memory, after the puts so far have reached the shared cache."""
        self._layer.in_background(contact, lambda shared: shared.announce(contact), after_others=True)

    def epoch(self, owner: Owner) -> int:
        """Return the owner's epoch. Requests do not join work that began in an earlier one."""
        return self._memory.epoch(owner)

    @property
    def subscribed(self) -> bool:
        """Whether the purges of other processes reach this one. While they do not, nothing stale may be served."""
        return self._purges.subscribed

    # Operation

    async def start(self) -> None:
        """Subscribe to the purges of other processes."""
        await self._purges.start()

    async def settle(self) -> None:
        """Wait until all puts have reached the shared cache or have failed."""
        await self._layer.settle()

    @property
    def breaker_open(self) -> bool:
        """Whether the shared cache is not asked, apart from trials."""
        return self._layer.breaker_open

    @property
    def purges_owed(self) -> int:
        """The number of pending purges."""
        return self._purges.owed

    def usage(self) -> MemoryUsage:
        """Return what memory has now."""
        return self._memory.usage()

    async def check(self) -> str:
        """Return a short description of the shared cache. Raise `CacheUnavailable` when it does not answer."""
        return await self._layer.check()

    async def other_stores(self, own: str) -> list[str]:
        """Note the identity of this process's store, and return those of others. Raise as `check`."""
        shared = self._layer.cache
        found = await shared.stores(own) if shared is not None else []
        return sorted({*found} - {own})

    async def close(self) -> None:
        """Give up the pending purges, wait for the puts, and close the shared cache."""
        await self._purges.close()
        await self._layer.close()

    async def _ask(self, owner: Owner, call: Callable[[SharedCache], Awaitable[T]], trace: Trace) -> T | None:
        """As `SharedLayer.ask`. Return None too while a purge of *owner* is pending."""
        return None if self._purges.pending(owner) else await self._layer.ask(call, trace)

    async def _lead_or_follow(
        self, owner: Owner, field: str, version: str, trace: Trace, on_wait: Callable[[], None] | None
    ) -> Entry | PutToken:
        """Return the entry as soon as another process has made it, or a token when this process is to make it."""
        deadline, waited = time.monotonic() + self._max_wait, False
        while True:
            epoch = self._memory.epoch(owner)
            found = await self._ask(owner, lambda shared: shared.acquire(owner, field, version), trace)
            if isinstance(found, Entry):
                self._observer.cache("shared", "hit")
                self._memory.put(owner, field, found, epoch)
                return found
            held, remaining = found and found.held, deadline - time.monotonic()
            if not held or not self.subscribed or remaining <= 0:
                return PutToken(epoch, found, waited)
            waited = True
            if on_wait is not None:
                on_wait()
            with suppress(TimeoutError), trace.timed("queue"):
                async with asyncio.timeout(min(held.seconds + _LEASE_MARGIN, remaining)):
                    await held.ended.wait()

    def _renewed(self, lease: Lease) -> _Renewal:
        shared = self._layer.cache
        assert shared is not None
        return _Renewal(shared, lease)


class _Renewal:
    """Renews *lease* until it is cancelled or the lease is lost. Most leases end before, so a timer starts its task."""

    def __init__(self, shared: SharedCache, lease: Lease) -> None:
        self._shared, self._lease = shared, lease
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(lease.seconds / 3, self._start)

    def cancel(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            with suppress(CacheUnavailable):  # there are two more attempts before the lease expires
                if not await self._shared.renew(self._lease):
                    return
            await asyncio.sleep(self._lease.seconds / 3)
