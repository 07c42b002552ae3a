"""The use case of writes: an upload is checked before it is stored, and purged everywhere before it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

from service.errors import N_, StoreTimedOut
from service.imaging.order import Encoding, Limits
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.demand import Client, Demand
from service.pictures.ports import Admission, Check, OriginalStore, Renderer, Upload, WritableStore
from service.pictures.trace import NewTrace, Trace
from service.pictures.upload_places import UploadPlaces
from service.pictures.values import Original, OriginalEmpty

T = TypeVar("T")
Sink = Callable[[bytes], Awaitable[None]]
log = structlog.get_logger()

_MAX_UPLOADS = 16
"""Uploads under way in this process."""


async def stored_original(store: OriginalStore, contact: int) -> Original | None:
    """Return the original of *contact* in *store*; None too for a file without bytes. Raise the errors of the store."""
    try:
        return await store.find(contact)
    except OriginalEmpty:
        return None


class Writes:
    """Writes to a *store*, purged from the *cache*.

    With *strip*, originals are stored without metadata, and encoded by it if they must be encoded again. A request
    waits for *max_wait* seconds until its change is made and purged. *new_trace* returns the trace of a request.
    """

    def __init__(
        self,
        store: WritableStore,
        cache: PictureCache,
        renderer: Renderer,
        admission: Admission,
        *,
        limits: Limits,
        strip: Encoding | None,
        max_wait: float,
        new_trace: NewTrace = Trace,
    ) -> None:
        self._store, self._cache, self._renderer, self._admission = store, cache, renderer, admission
        self._limits, self._strip, self._max_wait, self._new_trace = limits, strip, max_wait, new_trace
        self._places = UploadPlaces(_MAX_UPLOADS)
        self._changes: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def uploading(
        self, contact: int, client: Client, receive: Callable[[Sink], Awaitable[None]]
    ) -> AsyncIterator[Upload]:
        """Open an upload of *client* for *contact*, into which *receive* passes the body.

        Raise `Overloaded` when too many are under way, and what *receive* raises.
        """
        known = client.addresses - {None}
        with self._places.taken(known or contact) as place:  # as orders do, clients without an address share by contact
            async with self._store.uploading() as upload:
                await place.receive(receive(upload.write))
                yield upload

    async def require(self, contact: int, client: Client, check: Check) -> None:
        """Raise what *check* raises, before the body is received. `put` checks again.

        Raise `Overloaded` if the picture in the body could not be decoded in time for *client*.
        """
        self._admission.require(Trace(client))
        check(await stored_original(self._store, contact))

    async def put(self, contact: int, client: Client, upload: Upload, check: Check) -> Original:
        """Check *upload* of *client*, make it the original of *contact*, and purge the contact.

        Raise `UnsupportedUpload`, `Unrenderable`, `PreconditionFailed`, and the errors of the store and the renderer.
        """
        trace = self._new_trace()
        trace.client, trace.owner, trace.demand = client, contact, Demand(lambda: None)
        with trace.demand.joined(client), self._admission.count(trace):
            stripped = await self._renderer.admit(upload.open, self._limits, self._strip, trace)
        if stripped is not None:
            await upload.replace(stripped)
        return await self._complete(contact, self._store.put(contact, upload, check), trace)

    async def delete(self, contact: int, check: Check) -> None:
        """Delete the original of *contact*, and purge the contact. Raise `PreconditionFailed` and store errors.

        If the store cannot be used at all, nothing is purged: what is cached is served in the meantime.
        """
        check(await stored_original(self._store, contact))
        await self._complete(contact, self._store.delete(contact, check), self._new_trace())

    async def close(self) -> None:
        """Wait for the changes under way."""
        if self._changes:
            await asyncio.wait(self._changes, timeout=self._max_wait)

    async def _complete(self, contact: int, change: Coroutine[Any, Any, T], trace: Trace) -> T:
        """Return the result of *change*. It is completed and purged even if the request is cancelled."""
        task = asyncio.create_task(self._change(contact, change, trace))
        self._changes.add(task)
        task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(self._max_wait):
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise StoreTimedOut(N_("The place where pictures are stored took too long.")) from error

    async def _change(self, contact: int, change: Coroutine[Any, Any, T], trace: Trace) -> T:
        try:
            with trace.timed("store"):
                return await change
        finally:  # a change that raises may have been made nevertheless
            with trace.timed("purge"):
                await self._cache.purge(contact)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._changes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("write.failed", reason=repr(error))  # the waiting request raises it
