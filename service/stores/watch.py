"""Changes to the files of contacts in a folder, as the kernel reports them. This module does not know the caches.

A change that is not reported (network file systems report none) is found when the record of the original is stale.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path

import structlog
from watchfiles import Change

# The "Rust backend" of watchfiles' documentation. Its public `watch` does not report that it has begun to watch.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from service.stores.names import contact_in_name, is_shard, shard

log = structlog.get_logger()

Contacts = set[int] | None
"""The contacts whose files have changed; None: the files of any contact may have."""

_QUIET = 50
"""Milliseconds without a change that end a burst of changes."""
_MAX_BURST = 200
"""Milliseconds after which a burst of changes is reported before it ends."""
_CHECK_ROOT = 500
"""Milliseconds between two checks that *root* is still the folder that is watched."""
_RETRY = 0.25
"""Seconds before a missing folder is looked for again."""
_RETRY_LIMITS = 30.0
"""Seconds before another try after any other error, such as a limit of the kernel."""
_MAX_CONTACTS = 10_000
"""Contacts reported at once. More become None, which bounds the memory of a burst."""
_THREAD_TIMEOUT = 2.0
"""Seconds to wait for the thread to begin, and to end. It takes longer only when a disk does not respond."""


class Watch:
    """Watches *root*, the folder of a `DirectoryStore`, in a thread of its own from `start` to `close`."""

    def __init__(self, root: Path) -> None:
        self._root = root
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
        first, failing = True, False
        while not self._ended.is_set():
            pause = _RETRY
            try:
                with closing(_changes(self._root, self._ended)) as changes:
                    for contacts in changes:
                        if failing:
                            log.info("images.watched")
                        self._report(set() if first else contacts)  # at first, nothing was missed
                        first = failing = False
            except (OSError, WatchfilesRustInternalError) as error:
                if not failing:
                    log.warning("images.unwatched", reason=str(error))
                if not isinstance(error, FileNotFoundError):
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


def _changes(root: Path, ended: threading.Event) -> Generator[Contacts, None, None]:
    """Yield changes until the set of folders changes. First yield None, for changes from before the watch.

    Every folder is watched separately. A recursive watch would visit every file, and hold the interpreter lock.
    """
    folder = root.resolve(strict=True)
    shards = _shards(folder)
    with RustNotify([str(folder), *shards], False, False, 0, False, False) as watcher:
        if _shards(folder) != shards:
            return  # a shard was added before the watch began
        yield None
        while root.resolve(strict=True) == folder:
            result = watcher.watch(_MAX_BURST, _QUIET, _CHECK_ROOT, ended)
            if result == "stop":
                return
            changes = () if isinstance(result, str) else result
            yield {contact for _, path in changes if (contact := _contact(folder, Path(path)))}
            moved = (Path(path) for change, path in changes if change != Change.modified)
            if any(path == folder or (path.parent == folder and is_shard(path.name)) for path in moved):
                return


def _shards(folder: Path) -> list[str]:
    """Return the shards that exist. Their names are tried, since a list of *folder* may have a million files."""
    shards = (folder / shard(number) for number in range(1000))
    return [str(path) for path in shards if path.is_dir()]


def _contact(folder: Path, path: Path) -> int | None:
    """Return the contact whose file is at *path*, if `DirectoryStore` would look for it there."""
    contact = contact_in_name(path.name)
    return contact if contact is not None and path.parent in (folder, folder / shard(contact)) else None
