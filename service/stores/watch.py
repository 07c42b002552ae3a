"""Changes to the files of contacts in a folder, as the kernel reports them. This module does not know the caches.

A change that is not reported (network file systems report none) is found when the record of the original is stale.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from stat import S_ISDIR

import structlog

from service.stores.inotify import FOLDER_GONE, LIMITS, NAME_CHANGED, OVERFLOW, UNMOUNTED, Inotify
from service.stores.names import contact_in_name, is_shard, shard
from service.stores.openat2 import Links
from service.stores.picture_folder import PictureFolder

log = structlog.get_logger()

Contacts = set[int] | None
"""The contacts whose files have changed; None: the files of any contact may have."""

_QUIET = 0.05
"""Seconds without a change that end a burst of changes."""
_MAX_BURST = 0.2
"""Seconds after which a burst of changes is reported before it ends."""
_STEP = 0.1
"""Seconds between two checks that *root* is still the folder that is watched, and that the watch has not ended."""
_RETRY = 0.25
"""Seconds before the folders are watched again, or looked for again where there is no folder."""
_RETRY_LIMITS = 30.0
"""Seconds before another try where the kernel allows no watch."""
_MAX_CONTACTS = 10_000
"""Contacts reported at once. More become None, which bounds the memory of a burst."""
_THREAD_TIMEOUT = 2.0
"""Seconds to wait for the thread to begin, and to end. It takes longer only when a disk does not respond."""


class _Unmounted(Exception):
    """The file system of a watched folder was unmounted."""


class Watch:
    """Watches *root*, the folder of a `DirectoryStore`, in a thread of its own from `start` to `close`."""

    def __init__(self, root: Path, links: Links = "inside") -> None:
        self._root, self._links = root, links
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._begun, self._has_changes = asyncio.Event(), asyncio.Event()
        self._changed: Contacts = set()

    async def start(self) -> None:
        """Begin to watch. Later changes are reported, unless the log says that they cannot be."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        with suppress(TimeoutError):  # the thread then begins later
            await asyncio.wait_for(self._begun.wait(), _THREAD_TIMEOUT)

    async def changed(self) -> Contacts:
        """Wait until something has changed, and return all contacts changed since the last call."""
        await self._has_changes.wait()
        self._has_changes.clear()
        changed, self._changed = self._changed, set()
        return changed

    async def close(self) -> None:
        """Stop watching."""
        self._ended.set()
        await asyncio.to_thread(self._thread.join, _THREAD_TIMEOUT)

    def _run(self) -> None:
        first, failing, unmounted = True, False, False
        while not self._ended.is_set():
            pause = _RETRY
            try:
                if unmounted and not _has_pictures(self._root):
                    self._ended.wait(pause)
                    continue
                unmounted = False
                with closing(_changes(self._root, self._links, self._ended)) as changes:
                    for contacts in changes:
                        if failing:
                            log.info("images.watched")
                        self._report(set() if first else contacts)  # at first, nothing was missed
                        first = failing = False
            except _Unmounted:
                log.warning("store.unmounted", folder=str(self._root))
                first, failing, unmounted = False, True, True
            except OSError as error:
                if not failing:
                    log.warning("images.unwatched", reason=str(error))
                if error.errno in LIMITS:
                    pause = _RETRY_LIMITS
                self._report(set())
                first, failing = False, True
            self._ended.wait(pause)

    def _report(self, contacts: Contacts) -> None:
        self._loop.call_soon_threadsafe(self._merge, contacts)

    def _merge(self, contacts: Contacts) -> None:
        self._begun.set()
        if contacts is None or self._changed is None or len(self._changed) + len(contacts) > _MAX_CONTACTS:
            self._changed = None
        else:
            self._changed |= contacts
        if self._changed != set():
            self._has_changes.set()


def _changes(root: Path, links: Links, ended: threading.Event) -> Generator[Contacts, None, None]:
    """Yield changes until the folders must be watched again. First yield None, for changes from before the watch.

    Raise `_Unmounted` after an unmount: what is missing then was not removed. Every folder is watched separately: a
    recursive watch would visit every file.
    """
    folder = _resolved(root)
    identity = _identity(folder)
    with closing(Inotify()) as inotify:
        folders = _watch_folders(inotify, PictureFolder(folder, links))
        had_pictures = _has_pictures(folder)
        yield None
        while not ended.is_set():
            same = _identity(root) == identity  # before the wait: the event of an unmount comes after this changes
            if inotify.wait(_STEP):
                contacts, complete = _burst(inotify, folders)
                had_pictures = had_pictures or bool(contacts)
                yield contacts
                if not complete:
                    return
            if not same:
                if had_pictures and _resolved(root) == folder and not _has_pictures(folder):
                    raise _Unmounted  # here only: elsewhere the file system is still in use, so there is no event
                return


def _resolved(root: Path) -> Path:
    return Path(os.path.realpath(root, strict=True))  # `Path.resolve` raises RuntimeError for a link to itself


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return the device and the inode of *folder*, or None if it is missing."""
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _has_pictures(folder: Path) -> bool:
    """Return whether *folder* has a picture or a shard. The folder below a file system usually has none."""
    try:
        with os.scandir(folder) as entries:
            return any(is_shard(entry.name) or contact_in_name(entry.name) is not None for entry in entries)
    except FileNotFoundError:
        return False


def _watch_folders(inotify: Inotify, at: PictureFolder) -> dict[int, set[str]]:
    """Watch the folder *at* and its shards. Return the names of the shards by watch; the folder has an empty name.

    The folder itself is the first, so a shard that is added meanwhile gives an event. The names of shards are tried,
    since a list of the folder may have a million files.
    """
    folders = {inotify.add(at.path): {""}}
    with at.opened() as folder:
        for name in map(shard, range(1000)):
            status = folder.status(name)
            if status is not None and S_ISDIR(status.st_mode):
                with suppress(FileNotFoundError, NotADirectoryError):  # removed since
                    folders.setdefault(inotify.add(f"{at.path}/{name}"), set()).add(name)
    return folders


def _burst(inotify: Inotify, folders: dict[int, set[str]]) -> tuple[set[int], bool]:
    """Return the contacts of a burst of changes, and whether the watch is still complete.

    It is not when a shard was added or removed, when a watched folder is gone, or when events were lost. Raise
    `_Unmounted` after an unmount.
    """
    contacts: set[int] = set()
    complete, end = True, time.monotonic() + _MAX_BURST
    while complete and time.monotonic() < end and (events := list(inotify.read())):
        for event in events:
            names = folders.get(event.watch, set())
            contact = contact_in_name(event.name)
            if event.flags & OVERFLOW:
                log.warning("images.changes_lost", reason="fs.inotify.max_queued_events was reached")
                complete = False
            elif event.flags & UNMOUNTED:
                raise _Unmounted
            elif event.flags & FOLDER_GONE:
                complete = False
            elif contact is None:
                complete = complete and not (event.flags & NAME_CHANGED and "" in names and is_shard(event.name))
            elif not names.isdisjoint(("", shard(contact))):  # `DirectoryStore` would look for it there
                contacts.add(contact)
        time.sleep(_QUIET)
    return contacts, complete
