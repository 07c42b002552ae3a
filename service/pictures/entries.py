"""The entries of selections: looked up in the cache, or made by one process of the fleet.

Identical requests of this process share the making. It is abandoned when all of them have left.
"""

from __future__ import annotations

import time

from service.errors import Overloaded, RenderTimedOut, RenderWorkerDied
from service.imaging.order import Placeholder
from service.pictures.caching.picture_cache import Fetched, PictureCache, PutToken
from service.pictures.demand import Demand
from service.pictures.lifetimes import RecordLifetimes
from service.pictures.originals import STORE_ERRORS
from service.pictures.ports import Admission, CountedOrder, Observer
from service.pictures.renditions import Renditions, pixels_of
from service.pictures.selection import FileRendition, Selection
from service.pictures.single_flight import SingleFlight
from service.pictures.trace import Trace
from service.pictures.values import Entry

_TEMPORARY_ERRORS = (*STORE_ERRORS, Overloaded, RenderTimedOut, RenderWorkerDied)
"""Errors after which an older rendition is served, if there is one."""


class Entries:
    """The entries in *cache*, which *renditions* makes. *admission* accepts or refuses what is not in the cache."""

    def __init__(
        self,
        cache: PictureCache,
        renditions: Renditions,
        observer: Observer,
        lifetimes: RecordLifetimes,
        admission: Admission,
    ) -> None:
        self._cache, self._renditions, self._observer = cache, renditions, observer
        self._lifetimes, self._admission = lifetimes, admission
        self._flights = SingleFlight()

    async def find_or_make(self, selection: Selection, trace: Trace) -> Entry:
        """Return the entry from the cache, or have it made. Identical requests of this process share the making.

        While no order is accepted, return an older rendition, or raise `Overloaded`, without a task, a lease or a look
        into the store: a refusal costs about what a hit costs.
        """
        key, older = (selection.owner, selection.field, selection.version), None
        trace.owner = selection.owner
        accepted = selection.work is None or trace.begin_by is not None
        if key not in self._flights:
            older = await self.look_up(selection, trace)
            if older is not None and older.version == selection.version:
                return older
        if not accepted and key not in self._flights and self._admission.refuses(trace):
            if not await self._cache.is_led(selection.owner, selection.field, trace):
                try:
                    self._admission.require(trace)
                except Overloaded:
                    if older is None or self._is_too_old(older):
                        raise
                    return older
            accepted = True
        fetched, joined = await self._flights.join_while_wanted(
            key, trace.client, lambda demand: self._make(selection, older, trace, demand, accepted)
        )
        if fetched.made:
            trace.fwd, trace.stored, trace.collapsed = "miss", fetched.stored, fetched.elsewhere or joined
            if trace.collapsed:
                self._observer.collapsed()
        return fetched.entry

    async def look_up(self, selection: Selection, trace: Trace) -> Entry | None:
        """Return the entry of the selected field from the cache. It may have another version."""
        if trace.found is None or trace.found[0] != selection.field:
            trace.found = selection.field, await self._cache.get(selection.owner, selection.field, trace)
        found = trace.found[1]
        # It may have been made in the meantime, and be on its way to the shared cache.
        return self._cache.local(selection.owner, selection.field) or found

    async def close(self) -> None:
        """Cancel the work under way."""
        await self._flights.close()

    async def _make(
        self, selection: Selection, older: Entry | None, trace: Trace, demand: Demand, accepted: bool
    ) -> Fetched:
        """Have the entry made by one process of the fleet, for the clients of *demand*.

        Raise `Overloaded` unless the order is or can be *accepted*. After a temporary error, return *older* if it is
        not too old.
        """
        trace.demand = demand
        try:
            if selection.work is None:
                return await self._make_once(selection, trace)
            if not accepted:
                self._admission.require(trace)
            trace.pixels = _pixels(selection)
            with self._admission.count(trace, selection.work.format, trace.pixels) as order:
                return await self._make_once(selection, trace, order)
        except _TEMPORARY_ERRORS:
            if older is None or self._is_too_old(older):
                raise
            return Fetched(older)

    def _is_too_old(self, entry: Entry) -> bool:
        return time.time() - entry.stored_at > self._lifetimes.stale_if_error

    async def _make_once(self, selection: Selection, trace: Trace, order: CountedOrder | None = None) -> Fetched:
        """Have the entry made by one process of the fleet. *order* counts while this one does it or is about to."""

        async def make(token: PutToken) -> Entry:
            if order is not None and token.waited:
                order.resume()
            return await self._renditions.make(selection, token, trace)

        return await self._cache.make_once(
            selection.owner,
            selection.field,
            selection.version,
            make,
            trace,
            life=self._lifetimes.kept,
            on_wait=None if order is None else order.pause,
        )


def _pixels(selection: Selection) -> int:
    """Return the pixels that the cost of the work depends on; 0 if they are not known."""
    if isinstance(selection.work, Placeholder):
        return selection.work.width * selection.work.height
    if isinstance(selection.work, FileRendition):
        return pixels_of(selection.work.file.original, selection.work.order)
    return pixels_of(selection.original, selection.work) if selection.original and selection.work else 0
