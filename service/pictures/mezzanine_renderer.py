"""Renders from mezzanines. The first render of a large original makes one, and small renditions are made from it."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import nullcontext
from dataclasses import replace

from service.bounded_queue import BoundedQueue, QueueFull
from service.errors import Overloaded, Unrenderable
from service.imaging.order import LARGEST_SERVED, Order, Reduction, Rendered
from service.pictures.caching.picture_cache import PictureCache, PutToken
from service.pictures.demand import Demand
from service.pictures.ports import FULL, Observer, Read, Renderer
from service.pictures.trace import Trace
from service.pictures.values import THUMB_HASH_FIELD, Entry, MezzanineFile, MezzanineOwner, Original

_REDUCTION = re.compile(r"(\d{1,5})x(\d{1,5}) (\d{1,5})x(\d{1,5})", re.ASCII)
_MAX_WITHOUT = 4096
"""Originals that are remembered to have no mezzanine."""


class _FirstRender:
    """The render under way that may make a mezzanine, and the *queue* of the requests that wait for its end.

    It is the `MezzanineReceiver` of the renderer.
    """

    def __init__(
        self,
        mezzanines: MezzanineRenderer,
        original: Original,
        key: str,
        token: PutToken,
        queue: BoundedQueue,
        demand: Demand | None,
    ) -> None:
        self._mezzanines, self.original, self.key, self.token, self.queue = mezzanines, original, key, token, queue
        self._demand = demand
        self.ended = asyncio.Event()

    def is_awaited(self) -> bool:
        return self.queue.waiting > 0

    async def wait(self, demand: Demand | None) -> None:
        """Wait for the end of the render, on behalf of the clients of *demand*. Raise `QueueFull`."""
        with self._demand.joined(demand) if self._demand is not None else nullcontext():
            await self.queue.wait(self.ended.wait)

    async def receive(self, mezzanine: MezzanineFile | None, *, impossible: bool) -> None:
        await self._mezzanines.receive(self, mezzanine, impossible=impossible)


class MezzanineRenderer:
    """Renders originals by *renderer*, and keeps their mezzanines in *cache*, under the *digest* of the recipe.

    Mezzanines are kept for *kept_for* seconds; with 0 there are none. At most *queue* requests wait for the first
    render of an original, each for *max_wait* seconds at most. It makes the ThumbHash of the original, too, which is
    kept for *hash_kept_for* seconds.
    """

    def __init__(
        self,
        renderer: Renderer,
        cache: PictureCache,
        observer: Observer,
        *,
        digest: str,
        kept_for: float,
        hash_kept_for: float,
        queue: int,
        max_wait: float,
    ) -> None:
        self._renderer, self._cache, self._observer = renderer, cache, observer
        self._digest, self._kept_for, self._hash_kept_for = digest, kept_for, hash_kept_for
        self._limit, self._max_wait = queue, max_wait
        self._first_renders: dict[str, _FirstRender] = {}
        self._without: dict[str, None] = {}

    async def rendition(self, original: Original, read: Read, order: Order, token: PutToken, trace: Trace) -> Rendered:
        """Return the rendition of *original*, made from its mezzanine if possible, else from what *read* returns.

        Raise `Overloaded`, and what the renderer raises.
        """
        mezzanine, first = await self._source(original, order, token, trace)
        if mezzanine is not None and mezzanine.reduction.serves(order):
            try:
                self._observer.mezzanine_used()
                return await self._renderer.render_mezzanine(mezzanine, order, trace)
            except Unrenderable:
                pass  # the mezzanine is damaged, not the original
        try:
            return await self._render_original(original, read, order, token, trace, first)
        except BaseException:
            if first is not None:
                self._end(first)
            raise

    async def _render_original(
        self,
        original: Original,
        read: Read,
        order: Order,
        token: PutToken,
        trace: Trace,
        first: _FirstRender | None,
    ) -> Rendered:
        """Render *original*, with its ThumbHash if this process does not know it."""
        known = self._cache.local(original.contact, THUMB_HASH_FIELD)
        if order.thumb_hash or (known is not None and known.version == original.version):
            return await self._renderer.render_original(read, order, trace, first)
        rendered = await self._renderer.render_original(read, replace(order, thumb_hash=True), trace, first)
        entry = Entry(original.version, time.time(), "", rendered.thumb_hash.encode())
        await self._cache.put(original.contact, THUMB_HASH_FIELD, entry, token, life=self._hash_kept_for)
        return rendered

    async def receive(self, first: _FirstRender, mezzanine: MezzanineFile | None, *, impossible: bool) -> None:
        """Keep the mezzanine that *first* has made, and wake the requests that wait for it."""
        try:
            if mezzanine is not None:
                (width, height), (across, down) = mezzanine.reduction.original, mezzanine.reduction.reduced
                detail = f"{width}x{height} {across}x{down}"
                entry = Entry(first.original.version, time.time(), detail, mezzanine.data)
                owner = MezzanineOwner(first.original.contact)
                await self._cache.put(owner, self._digest, entry, first.token, life=self._kept_for)
            elif impossible:
                self._without[first.key] = None
                if len(self._without) > _MAX_WITHOUT:
                    del self._without[next(iter(self._without))]
        finally:
            self._end(first)

    async def _source(
        self, original: Original, order: Order, token: PutToken, trace: Trace
    ) -> tuple[MezzanineFile | None, _FirstRender | None]:
        """Return the mezzanine of *original* if there is one, or the first render if this request is to begin it.

        The first render of an original runs without others: its mezzanine serves them, and an original that ends its
        process ends only one.
        """
        key = f"{original.contact}:{original.version}"
        if not self._kept_for or key in self._without:
            return None, None
        mezzanine = self._in_memory(original, key)
        if order.least_side is None or order.least_side > LARGEST_SERVED:  # too slow to wait for
            return None, self._first_render(original, key, token, trace) if mezzanine is None else None
        while mezzanine is None and key not in self._without:
            first = self._first_renders.get(key)
            if first is None:
                return await self._begin(self._first_render(original, key, token, trace), trace)
            try:
                with trace.timed("queue"):
                    async with asyncio.timeout(trace.wait_limit(self._max_wait)):
                        await first.wait(trace.demand)
            except (QueueFull, TimeoutError) as error:
                raise Overloaded(FULL) from error
            mezzanine = self._in_memory(original, key)
        return mezzanine, None

    def _first_render(self, original: Original, key: str, token: PutToken, trace: Trace) -> _FirstRender:
        queue = BoundedQueue(self._limit, self._max_wait)
        return _FirstRender(self, original, key, token, queue, trace.demand)

    async def _begin(self, first: _FirstRender, trace: Trace) -> tuple[MezzanineFile | None, _FirstRender | None]:
        """Register *first*, unless another process has put the mezzanine into the shared cache."""
        self._first_renders[first.key] = first
        try:
            entry = await self._cache.get(MezzanineOwner(first.original.contact), self._digest, trace)
        except BaseException:
            self._end(first)
            raise
        mezzanine = self._mezzanine(entry, first.original, first.key)
        if mezzanine is None:
            return None, first
        self._end(first)
        return mezzanine, None

    def _end(self, first: _FirstRender) -> None:
        if self._first_renders.get(first.key) is first:
            del self._first_renders[first.key]
        first.ended.set()

    def _in_memory(self, original: Original, key: str) -> MezzanineFile | None:
        return self._mezzanine(self._cache.local(MezzanineOwner(original.contact), self._digest), original, key)

    def _mezzanine(self, entry: Entry | None, original: Original, key: str) -> MezzanineFile | None:
        """Return the mezzanine in *entry* if it is one of this *original* and has not expired."""
        if entry is None or entry.version != original.version or time.time() > entry.stored_at + self._kept_for:
            return None
        sizes = _REDUCTION.fullmatch(entry.detail)
        if sizes is None:
            return None  # a foreign entry
        width, height, across, down = map(int, sizes.groups())
        try:
            return MezzanineFile(key, entry.body, Reduction((width, height), (across, down)))
        except ValueError:
            return None  # a foreign entry: these sizes do not exist
