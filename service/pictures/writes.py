"""The use case of writing: a picture is judged before it is kept, and no answer leaves before every process knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

from service.errors import N_, Overloaded, StoreTimedOut
from service.imaging.order import Encoding, Limits
from service.pictures.ports import Check, OriginalStore, Purges, Renderer, Upload, WritableStore
from service.pictures.values import Original, OriginalEmpty

T = TypeVar("T")
log = structlog.get_logger()

_AT_ONCE = 16
"""Uploads under way in this process; one more is refused."""


async def present(store: OriginalStore, contact: int) -> Original | None:
    """The picture of *contact* in *store*; a file without bytes is none. Raises the store's errors."""
    try:
        return await store.look(contact)
    except OriginalEmpty:
        return None


class Writes:
    """Changes of contacts' pictures.

    *strip* says to store them without metadata, encoded so where they must be encoded anew. *patience* is for how many
    seconds a request waits until its change is made and known.
    """

    def __init__(
        self,
        store: WritableStore,
        purges: Purges,
        renderer: Renderer,
        *,
        limits: Limits,
        strip: Encoding | None,
        patience: float,
    ) -> None:
        self._store, self._purges, self._renderer = store, purges, renderer
        self._limits, self._strip, self._patience = limits, strip, patience
        self._uploads = 0
        self._under_way: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def uploading(self) -> AsyncIterator[Upload]:
        """An upload to be put. Raises `Overloaded`."""
        if self._uploads >= _AT_ONCE:
            raise Overloaded(N_("Too many pictures are being stored. Try again soon."))
        self._uploads += 1
        try:
            async with self._store.uploading() as upload:
                yield upload
        finally:
            self._uploads -= 1

    async def require(self, contact: int, check: Check) -> None:
        """Raise what *check* raises, before an upload is worth its way. It is checked again when it is put."""
        check(await present(self._store, contact))

    async def put(self, contact: int, upload: Upload, check: Check) -> Original:
        """Judge *upload*, and make it the picture of *contact*, known to all.

        Raises `UnsupportedUpload`, `Unrenderable`, `PreconditionFailed`, and what store and renderer raise.
        """
        stripped = await self._renderer.admit(upload.read, self._limits, self._strip)
        if stripped is not None:
            await upload.replace(stripped)
        return await self._to_its_end(contact, self._store.put(contact, upload, check))

    async def delete(self, contact: int, check: Check) -> None:
        """Remove the picture of *contact*, known to all. Raises `PreconditionFailed`, and what the store raises."""
        await self._to_its_end(contact, self._store.delete(contact, check))

    async def close(self) -> None:
        """Wait for the changes under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._patience)

    async def _to_its_end(self, contact: int, change: Coroutine[Any, Any, T]) -> T:
        """What comes of *change*. It is made and made known though nobody waits any more."""
        task = asyncio.create_task(self._made_known(contact, change))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise StoreTimedOut(N_("The place where pictures are stored took too long.")) from error

    async def _made_known(self, contact: int, change: Coroutine[Any, Any, T]) -> T:
        try:
            return await change
        finally:  # one that failed may have been made all the same
            await self._purges.purge(contact)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("write.failed", reason=repr(error))  # and whoever waits is told
