"""Renditions by way of the mezzanine: the first render of a large original leaves one, later ones are made from it.

In a cache and between processes it is a `MezzanineFile`: the mezzanine as a file.
"""

from __future__ import annotations

import asyncio
import re
import time

from service.bounded_queue import BoundedQueue, QueueFull
from service.errors import Overloaded, Unrenderable
from service.imaging.order import LARGEST_SERVED, Order, Reduction, Rendered
from service.pictures.caching.tiers import Ticket, TieredCache
from service.pictures.ports import FULL, Observer, Read, Renderer
from service.pictures.trace import Trace
from service.pictures.values import Entry, MezzanineFile, MezzanineOwner, Original

_REDUCTION = re.compile(r"(\d{1,5})x(\d{1,5}) (\d{1,5})x(\d{1,5})", re.ASCII)
_MOST_WITHOUT = 4096
"""Originals that are known to have none."""


class _MezzanineRender:
    """A render under way that may leave a mezzanine, and the *queue* of the requests that wait for its end."""

    def __init__(
        self, mezzanines: MezzanineRenderer, original: Original, key: str, ticket: Ticket, queue: BoundedQueue
    ) -> None:
        self._mezzanines, self._original = mezzanines, original
        self.ticket = ticket
        self.key = key
        self.queue = queue
        self.ended = asyncio.Event()

    def is_awaited(self) -> bool:
        return self.queue.waiting > 0

    async def receive(self, master: MezzanineFile | None, *, impossible: bool) -> None:
        await self._mezzanines.receive(self, self._original, master, impossible=impossible)


class MezzanineRenderer:
    """Kept in the *cache* for *kept_for* seconds (0: there are none), by the *digest* of how renditions are made.

    *queue* requests may wait for one that is being made, and for *patience* seconds at most.
    """

    def __init__(
        self,
        cache: TieredCache,
        renderer: Renderer,
        observer: Observer,
        *,
        digest: str,
        kept_for: float,
        queue: int,
        patience: float,
    ) -> None:
        self._cache, self._renderer, self._observer = cache, renderer, observer
        self._digest, self._kept_for = digest, kept_for
        self._limit, self._patience = queue, patience
        self._firsts: dict[str, _MezzanineRender] = {}
        self._without: dict[str, None] = {}

    async def render(self, original: Original, read: Read, order: Order, ticket: Ticket, trace: Trace) -> Rendered:
        """The rendition of *original*, from its mezzanine where that serves, else from what *read* gives.

        The first is rendered alone: what it leaves serves the others, and if it is deadly it ends one process.
        """
        key = f"{original.contact}:{original.version}"
        if not self._kept_for or key in self._without:
            return await self._renderer.render_original(read, order, trace)
        master = self._local(original, key)
        if order.least_side is None or order.least_side > LARGEST_SERVED:  # nobody waits for one that takes seconds
            receiver = self._render_of(original, key, ticket) if master is None else None
            return await self._renderer.render_original(read, order, trace, receiver)
        while master is None and key not in self._without:
            if (under_way := self._firsts.get(key)) is None:
                self._firsts[key] = self._render_of(original, key, ticket)
                return await self._render_first(self._firsts[key], original, read, order, trace)
            await self._wait(under_way, trace)
            master = self._local(original, key)
        return await self._render(master, read, order, trace)

    async def _render_first(
        self, first: _MezzanineRender, original: Original, read: Read, order: Order, trace: Trace
    ) -> Rendered:
        try:
            entry = await self._cache.get(MezzanineOwner(original.contact), self._digest, trace)
            master = self._master(entry, original, first.key)
            if master is None:
                return await self._renderer.render_original(read, order, trace, first)
        except BaseException:
            self._end(first)
            raise
        self._end(first)
        return await self._render(master, read, order, trace)

    async def _render(self, master: MezzanineFile | None, read: Read, order: Order, trace: Trace) -> Rendered:
        if master is not None and master.reduction.serves(order):
            try:
                self._observer.mezzanine_used()
                return await self._renderer.render_mezzanine(master, order, trace)
            except Unrenderable:
                pass  # that is no fault of the original's
        return await self._renderer.render_original(read, order, trace)

    async def receive(
        self, first: _MezzanineRender, original: Original, master: MezzanineFile | None, *, impossible: bool
    ) -> None:
        """Keep what *first* has left, and let those go on that wait for it."""
        try:
            if master is not None:
                (width, height), (across, down) = master.reduction.original, master.reduction.reduced
                entry = Entry(original.version, time.time(), f"{width}x{height} {across}x{down}", master.data)
                await self._cache.put(
                    MezzanineOwner(original.contact), self._digest, entry, first.ticket, life=self._kept_for
                )
            elif impossible:
                self._without[first.key] = None
                if len(self._without) > _MOST_WITHOUT:
                    del self._without[next(iter(self._without))]
        finally:
            self._end(first)

    def _end(self, first: _MezzanineRender) -> None:
        if self._firsts.get(first.key) is first:
            del self._firsts[first.key]
        first.ended.set()

    def _render_of(self, original: Original, key: str, ticket: Ticket) -> _MezzanineRender:
        return _MezzanineRender(self, original, key, ticket, BoundedQueue(self._limit, self._patience))

    async def _wait(self, first: _MezzanineRender, trace: Trace) -> None:
        try:
            with trace.timed("queue"):
                await first.queue.wait(first.ended.wait)
        except QueueFull as error:
            raise Overloaded(FULL) from error

    def _local(self, original: Original, key: str) -> MezzanineFile | None:
        return self._master(self._cache.local(MezzanineOwner(original.contact), self._digest), original, key)

    def _master(self, entry: Entry | None, original: Original, key: str) -> MezzanineFile | None:
        """*entry* if it is one of this *original*, and not too old."""
        if entry is None or entry.version != original.version or time.time() > entry.stored_at + self._kept_for:
            return None
        told = _REDUCTION.fullmatch(entry.detail)
        if told is None:
            return None  # somebody else's, as is one whose sizes cannot be
        width, height, across, down = map(int, told.groups())
        try:
            return MezzanineFile(key, entry.body, Reduction((width, height), (across, down)))
        except ValueError:
            return None
