"""The cache as the use case sees it: memory, then the shared cache as far as it is within reach."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.pictures.caching.coherence import Coherence
from service.pictures.caching.fail_open import FailOpenCache
from service.pictures.ports import Grant, MemoryTier, Observer, SharedCache
from service.pictures.trace import Trace
from service.pictures.values import Entry, EntryHead, Owner

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to put what is about to be made: taken before the store is read, and void after a purge.

    Without a *grant* the shared cache could not be asked, and what is made stays in this process. *waited* says that
    another process had the lead before, and did not make it.
    """

    epoch: int
    grant: Grant | None = None
    waited: bool = False

    def aside(self) -> Ticket:
        """The same for what is put besides: the lead is not given back with it."""
        return self if self.grant is None else Ticket(self.epoch, Grant(self.grant.fence))


class TieredCache:
    """Memory in front of the shared cache; bodies of more than *max_body* bytes stay in memory."""

    def __init__(
        self, memory: MemoryTier, reach: FailOpenCache, coherence: Coherence, observer: Observer, *, max_body: int
    ) -> None:
        self._memory, self._reach, self._coherence, self._observer = memory, reach, coherence, observer
        self.max_body = max_body

    def local(self, owner: Owner, field: str) -> Entry | None:
        """The entry if it is in memory; not counted as a look-up."""
        return self._memory.get(owner, field)

    def epoch(self, owner: Owner) -> int:
        """Another one after each purge: work that began in an earlier one is not joined."""
        return self._memory.epoch(owner)

    async def get(self, owner: Owner, field: str, trace: Trace) -> Entry | None:
        """The entry from the nearest layer that holds it."""
        with trace.timed("cache"):
            entry = self._memory.get(owner, field)
        self._observer.cache("memory", "miss" if entry is None else "hit")
        if entry is not None or trace.unknown:
            return entry
        found = await self.shared(owner, (field,), trace)
        return found[0] if found else None

    async def shared(self, owner: Owner, fields: Sequence[str], trace: Trace) -> list[Entry | None] | None:
        """The entries from the shared cache, by one look-up, and into memory; None when it cannot be asked."""
        epoch = self._memory.epoch(owner)
        found = await self._ask(owner, lambda shared: shared.get(owner, fields), trace)
        if found is None:
            return None
        for field, entry in zip(fields, found, strict=True):
            self._observer.cache("shared", "miss" if entry is None else "hit")
            if entry is not None:
                self._memory.put(owner, field, entry, epoch)
        return found

    async def head(self, owner: Owner, field: str, trace: Trace) -> EntryHead | None:
        """What is known of the entry, without reading it."""
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

    async def fence(self, owner: Owner, trace: Trace) -> Ticket:
        """Leave to put, to be taken before the store is read."""
        epoch = self._memory.epoch(owner)
        return Ticket(epoch, await self._ask(owner, lambda shared: shared.fence(owner), trace))

    async def lead(self, owner: Owner, field: str, version: str, trace: Trace) -> Entry | Ticket:
        """The entry of that *version*, if it has come meanwhile; else leave to make it, or word of who does."""
        epoch = self._memory.epoch(owner)
        found = await self._ask(owner, lambda shared: shared.lead(owner, field, version), trace)
        if isinstance(found, Entry):
            self._observer.cache("shared", "hit")
            self._memory.put(owner, field, found, epoch)
            return found
        return Ticket(epoch, found)

    async def put(
        self, owner: Owner, field: str, entry: Entry, ticket: Ticket, *, life: float, alone: bool = False
    ) -> bool:
        """Keep *entry* here at once and in the shared cache soon, there for *life* seconds, *alone*: in place of all.

        Says whether it is kept for long.
        """
        self._memory.put(owner, field, entry, ticket.epoch)  # a large one too: slow readers share it
        if len(entry.body) > self.max_body:
            return False
        if (grant := ticket.grant) is not None:
            self._reach.behind(
                lambda shared: shared.put(owner, field, entry, grant, life=life, alone=alone), size=len(entry.body)
            )
        return True

    async def _ask(self, owner: Owner, call: Callable[[SharedCache], Awaitable[T]], trace: Trace) -> T | None:
        """As `FailOpenCache.ask`, unless the shared cache is not to be believed about *owner*."""
        return await self._reach.ask(call, trace) if self._coherence.clean(owner) else None
