"""The ThumbHashes of originals: made with the first render, kept beside the renditions, and ordered if missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import partial

import structlog

from service.errors import Overloaded, PictureError
from service.formats import Format
from service.imaging.order import THUMB_HASH, Order
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.entries import Entries
from service.pictures.failures import active_fault, refusal
from service.pictures.originals import Originals
from service.pictures.selection import Recipe, Selection
from service.pictures.single_flight import SingleFlight
from service.pictures.trace import Trace
from service.pictures.values import THUMB_HASH_FIELD, Entry, Original, OriginalChanged
from service.protocol.negotiate import FormatChoice

log = structlog.get_logger()

_WAIT = 0.25
"""Seconds that a request waits for all of its hashes together."""
_MOST = 128
"""Missing hashes that may wait in one process. A further one is not ordered."""
_LOOKUPS = 8
"""Lookups in the shared cache at the same time."""
_ATTEMPTS = 4
"""Times that a hash is ordered while other renders come before it."""
_PAUSE = 1.0
"""Seconds between two attempts."""
_SIDE = 32
"""Pixels of the rendition that is made with a hash. It is not kept."""
_FORMAT = Format.PNG


class _NoClient:
    """The client of an order that yields to all others."""

    half_closed = True
    addresses: frozenset[str | None] = frozenset({None})


class ThumbHashes:
    """The ThumbHashes in *cache*. Missing ones become *entries*, one at a time in each process."""

    def __init__(self, cache: PictureCache, originals: Originals, entries: Entries, recipe: Recipe) -> None:
        self._cache, self._originals, self._entries, self._digest = cache, originals, entries, recipe.digest
        self._order = Order(_FORMAT, _SIDE, _SIDE, limits=recipe.limits, encoding=recipe.encoding, thumb_hash=True)
        self._flights = SingleFlight()
        self._waiting = 0
        self._lookups, self._turn = asyncio.Semaphore(_LOOKUPS), asyncio.Lock()

    async def of(self, originals: Iterable[Original]) -> dict[int, str]:
        """Return by contact the ThumbHashes that are known, or arrive soon. The others are there for later requests."""
        known: dict[int, str] = {}
        asked: dict[int, asyncio.Task[str | None]] = {}
        for each in originals:
            if (made := _hash_in(self._cache.local(each.contact, THUMB_HASH_FIELD), each)) is not None:
                known[each.contact] = made
            else:
                key = each.contact, each.version
                asked[each.contact] = self._flights.start(key, partial(self._find_or_make, each))
        if asked:
            await asyncio.wait(asked.values(), timeout=_WAIT)
        arrived = {contact: task.result() for contact, task in asked.items() if task.done() and not task.cancelled()}
        return known | {contact: made for contact, made in arrived.items() if made is not None}

    async def close(self) -> None:
        """Cancel the work under way."""
        await self._flights.close()

    async def _find_or_make(self, original: Original) -> str | None:
        trace = Trace(_NoClient())
        async with self._lookups:
            entry = await self._cache.get(original.contact, THUMB_HASH_FIELD, trace)
        if (found := _hash_in(entry, original)) is not None:
            return found
        if self._waiting >= _MOST:
            return None
        self._waiting += 1
        try:
            return await self._make_in_turn(original)
        finally:
            self._waiting -= 1

    async def _make_in_turn(self, original: Original) -> str | None:
        async with self._turn:
            for attempt in range(_ATTEMPTS):
                await asyncio.sleep(attempt and _PAUSE)
                try:
                    return await self._make(original)
                except Overloaded:
                    pass  # other renders come first
                except (PictureError, OriginalChanged):
                    break
                except Exception as error:  # the picture is described without it
                    log.warning("render.no_thumb_hash", reason=repr(error))
                    break
        return None

    async def _make(self, original: Original) -> str | None:
        """Have the hash made by one process of the fleet. Raise as `Entries.find_or_make`."""
        trace = Trace(_NoClient())
        now = await self._originals.current(original, trace)
        if active_fault(now.fault, self._digest):
            return None
        if failed := refusal(now.failures, THUMB_HASH_FIELD, _FORMAT, time.time()):
            raise failed
        choice = FormatChoice(_FORMAT)
        entry = await self._entries.find_or_make(
            Selection(original.contact, THUMB_HASH_FIELD, original.version, "", choice, None, self._order, now), trace
        )
        return _hash_in(entry, original)


def _hash_in(entry: Entry | None, original: Original) -> str | None:
    """Return the hash in *entry*, if it is one of this *original*."""
    if entry is None or entry.version != original.version:
        return None
    text = entry.body.decode("ascii", "replace")
    return text if THUMB_HASH.fullmatch(text) else None  # a stranger may have written the entry
