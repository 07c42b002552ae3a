"""The stores of originals: how one is made, prepared for a start, checked and watched.

A further store is an adapter in `service/stores/`, its `StoreType` here, which `store_type` returns, and its settings.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NamedTuple

import structlog

from service.ending import end
from service.errors import PictureError
from service.pictures.ports import WritableStore
from service.settings import Settings
from service.stores.folder_in_force import FolderInForce
from service.stores.os_errors import error_fields
from service.stores.uploads import UploadFolder
from service.stores.watch import Watch
from service.stores.writable_directory import WritableDirectory
from service.system.threads import Threads

log = structlog.get_logger()

_SAMPLE = 100
"""Pictures whose beginning `contact-image check` reads."""
_MENDED = {
    errno.ENOENT: "create or mount it, or correct images.directory",
    errno.ENOTDIR: "create or mount it, or correct images.directory",
    errno.EACCES: "give the user of the service access to it",
    errno.EROFS: "mount it writable",
}
"""How a folder is mended, by the number of its error."""
_LOST_PAUSE = 0.25
"""Seconds between two looks whether a lost folder is back."""


StoreState = FolderInForce
"""What the processes of a service share about the store."""

Purge = Callable[[int | None], Awaitable[object]]
"""A function that purges one contact; None: every contact."""


class StoreType(NamedTuple):
    """The functions of one type of store."""

    make: Callable[[Settings, StoreState | None], WritableStore]
    """Return the store. The caller closes it."""
    prepare: Callable[[Settings], StoreState]
    """Check the store before the service listens, and return what its processes share.

    Raise `BadSettings`, or log a warning if the service can start.
    """
    inspect: Callable[[Settings], Awaitable[tuple[bool, str]]]
    """Return for `contact-image check` whether the store can be used, and a description or the reason."""
    watch: Callable[[Settings, WritableStore, Purge], AsyncIterator[None]]
    """Purge contacts whose originals other programs change, from the first item of the iterator to its end."""


def store_type(settings: Settings) -> StoreType:
    """Return the type of the store that *settings* name. `images.directory` is always set, and names a folder."""
    return _FOLDER


def _make_folder(settings: Settings, in_force: FolderInForce | None = None) -> WritableDirectory:
    images = settings.images
    return WritableDirectory(
        images.directory,
        max_bytes=images.max_bytes,
        timeout=images.timeout,
        in_force=in_force or FolderInForce(images.directory, images.marker, images.follow_links),
        near=images.near,
        links=images.follow_links,
        file_mode=settings.writes.mode,
    )


def _prepare_folder(settings: Settings) -> FolderInForce:
    """Log a warning if the folder cannot be read, or cannot be written to although writes are enabled.

    Return what is known of it. The service then starts unready, and becomes ready when the folder appears: a volume may
    be mounted later.
    """
    folder = settings.images.directory
    in_force = FolderInForce(folder, settings.images.marker, settings.images.follow_links)
    threads = Threads(1, name="start", hangs_after=settings.images.timeout, spare=1)

    def within_timeout(call: Callable[[], None]) -> None:
        threads.submit(call).result(settings.images.timeout)  # the disk may hang

    try:
        within_timeout(in_force.look)
        if settings.writes.enabled:
            try:
                within_timeout(partial(_try_upload, settings))
            except OSError as error:
                log.warning("images.unwritable", **error_fields(error, str(folder)))
    except OSError as error:
        log.warning("images.unreadable", **error_fields(error, str(folder)), status="unready until it can be read")
    finally:
        threads.shutdown()
    return in_force


async def _inspect_folder(settings: Settings) -> tuple[bool, str]:
    folder, store = settings.images.directory.absolute(), _make_folder(settings)
    fault, otherwise = f"{folder}: ", ""
    try:
        description = await store.check()
        if refused := await store.refused_links():
            description += f"; {refused} symbolic links are not followed (images.follow_links)"
        tried, faults = await store.sample(_SAMPLE)
        if faults:
            return False, f"{faults[0]}; {len(faults)} of the first {tried} pictures cannot be read"
        fault, otherwise = f"{folder} cannot be written to: ", ", or set writes.enabled to false"
        if settings.writes.enabled:
            async with store.uploading():
                pass
    except PictureError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _MENDED:
            return False, f"{fault}{cause.strerror}: {_MENDED[cause.errno]}{otherwise}"
        return False, f"{fault}{cause or error}"
    finally:
        await store.close()
    return True, description


def _try_upload(settings: Settings) -> None:
    """Create the folder of uploads and a file in it, and remove the file. Raise OSError if that fails."""
    images = settings.images
    UploadFolder(images.directory, images.timeout, images.follow_links, settings.writes.mode).begin().discard()


async def _watch_folder(settings: Settings, store: WritableStore, purge: Purge) -> AsyncIterator[None]:
    if not settings.images.watch:
        yield
        return
    assert isinstance(store, WritableDirectory)
    watch = Watch(settings.images.directory, settings.images.follow_links)
    await watch.start()
    task = asyncio.create_task(_purge_changed(watch, store, purge))
    yield
    await end(task)
    await watch.close()


async def _purge_changed(watch: Watch, store: WritableDirectory, purge: Purge) -> None:
    """Purge what has changed. Every process of the fleet does this: a repeated purge does no harm.

    While the folder is lost nothing is purged: another folder in its place says nothing about the pictures.
    """
    while True:
        contacts = await watch.changed()
        await _wait_until_in_force(store)
        for contact in (None,) if contacts is None else contacts:
            await purge(contact)


async def _wait_until_in_force(store: WritableDirectory) -> None:
    while True:
        if await store.is_in_force():
            return
        await asyncio.sleep(_LOST_PAUSE)


_FOLDER = StoreType(_make_folder, _prepare_folder, _inspect_folder, _watch_folder)
