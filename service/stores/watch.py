"""Which contacts' files change under us, as the kernel tells it. Knows no cache.

Freshness stands behind it: what is not told of (on network file systems nothing is) shows when it is looked at again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path

import structlog
from watchfiles import Change
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError  # their documented lower half

from service.stores.names import contact_of, is_shard, shard

log = structlog.get_logger()

Contacts = set[int] | None
"""Whose files have changed; None: anyone's may have."""

_STEP, _DEBOUNCE, _LOOK = 50, 200, 500
"""Milliseconds: of quiet that ends a burst; until one that goes on is told; between looks at where *root* leads."""
_PAUSE, _LONG_PAUSE = 0.25, 30.0
"""Seconds before a folder that is gone is looked for again, and before the kernel's limits are tried again."""
_MANY = 10_000
"""Contacts. More at once are not named, so that no burst is too large to be kept in mind."""
_PATIENCE = 2.0
"""Seconds that the thread may take to begin and to end: more only where a disk hangs."""


class Watch:
    """Follows *root*, a `DirectoryStore`'s, in a thread of its own: from `start` to `close`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._tried, self._some = asyncio.Event(), asyncio.Event()
        self._changed: Contacts = set()

    async def start(self) -> None:
        """Begin. From now on changes are seen, unless the log says that they cannot be."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        with suppress(TimeoutError):  # then they are seen later
            await asyncio.wait_for(self._tried.wait(), _PATIENCE)

    async def changed(self) -> Contacts:
        """What has changed since this was last asked; waits until something has."""
        await self._some.wait()
        self._some.clear()
        changed, self._changed = self._changed, set()
        return changed

    async def close(self) -> None:
        """End."""
        self._ended.set()
        await asyncio.to_thread(self._thread.join, _PATIENCE)

    def _run(self) -> None:
        first, failing = True, False
        while not self._ended.is_set():
            pause = _PAUSE
            try:
                with closing(_changes(self._root, self._ended)) as changes:
                    for contacts in changes:
                        if failing:
                            log.info("images.watched")
                        self._tell(set() if first else contacts)
                        first = failing = False
            except (OSError, WatchfilesRustInternalError) as error:
                if not failing:
                    log.warning("images.unwatched", reason=str(error))
                if not isinstance(error, FileNotFoundError):
                    pause = _LONG_PAUSE
                self._tell(set())
                first, failing = False, True
            self._ended.wait(pause)

    def _tell(self, contacts: Contacts) -> None:
        self._loop.call_soon_threadsafe(self._merge, contacts)

    def _merge(self, contacts: Contacts) -> None:
        self._tried.set()
        if contacts is None or self._changed is None or len(self._changed) + len(contacts) > _MANY:
            self._changed = None
        else:
            self._changed |= contacts
        if self._changed != set():
            self._some.set()


def _changes(root: Path, ended: threading.Event) -> Generator[Contacts, None, None]:
    """What changes, as long as the folders stay what they are; first None, for what changed while none was watched.

    Every folder is watched by itself: a recursive watch would visit every file, and hold the interpreter meanwhile.
    """
    place = root.resolve(strict=True)
    shards = _shards(place)
    with RustNotify([str(place), *shards], False, False, 0, False, False) as watcher:
        if _shards(place) != shards:
            return  # one has come meanwhile
        yield None
        while root.resolve(strict=True) == place:
            told = watcher.watch(_DEBOUNCE, _STEP, _LOOK, ended)
            if told == "stop":
                return
            changes = () if isinstance(told, str) else told
            yield {contact for _, path in changes if (contact := _contact(place, Path(path)))}
            moved = (Path(path) for change, path in changes if change != Change.modified)
            if any(path == place or (path.parent == place and is_shard(path.name)) for path in moved):
                return


def _shards(place: Path) -> list[str]:
    """The sub-folders that are there. Asked for by name: a list of *place* may hold a million files."""
    folders = (place / shard(number) for number in range(1000))
    return [str(folder) for folder in folders if folder.is_dir()]


def _contact(place: Path, path: Path) -> int | None:
    """Whose file *path* is: where `DirectoryStore` would find it, and under a name that it would try."""
    contact = contact_of(path.name)
    return contact if contact is not None and path.parent in (place, place / shard(contact)) else None
