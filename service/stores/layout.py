"""The contacts that have pictures in a folder itself, if they are few. For others, 42 names need no lookup there."""

from __future__ import annotations

import os
import time
from itertools import islice

from service.stores.names import contact_in_name

_MAX_ENTRIES = 4_096
"""Entries of a folder, shards among them. The names in a folder with more are looked up each time."""
_SETTLED = 2.0
"""Seconds since the last change of a folder. An earlier look might miss a change that leaves its times as they are."""
_PAUSE = 1.0
"""Seconds between two looks at a folder that changes."""

_Identity = tuple[int, int, int, int]


class Layout:
    """What the last look at the folder *root* has shown. It counts until an entry is added, removed or renamed."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._seen: tuple[_Identity, frozenset[int] | None] | None = None
        self._next_look = 0.0

    def is_sharded(self, folder: os.stat_result, contact: int) -> bool:
        """Return whether *contact* has no picture in the *folder* with that status, unless in its shard."""
        if self._seen is None:
            return False
        identity, contacts = self._seen
        return contacts is not None and contact not in contacts and identity == _identity(folder)

    def is_unknown(self, folder: os.stat_result) -> bool:
        """Return whether `learn` would list the *folder* with that status."""
        known = self._seen is not None and self._seen[0] == _identity(folder)
        return not known and time.monotonic() >= self._next_look

    def learn(self, folder: os.stat_result) -> None:
        """List the *folder* with that status, unless it was listed before or cannot be listed. This blocks."""
        if not self.is_unknown(folder):
            return
        identity = _identity(folder)
        self._next_look = time.monotonic() + _PAUSE
        if time.time() - max(folder.st_mtime, folder.st_ctime) < _SETTLED:
            return
        try:
            with os.scandir(self._root) as entries:
                names = [entry.name for entry in islice(entries, _MAX_ENTRIES + 1)]
            after = os.stat(self._root)
        except OSError:
            return  # names can be looked up in a folder that cannot be listed
        if _identity(after) == identity:
            found = frozenset(contact for name in names if (contact := contact_in_name(name)) is not None)
            self._seen = identity, found if len(names) <= _MAX_ENTRIES else None


def _identity(folder: os.stat_result) -> _Identity:
    return folder.st_dev, folder.st_ino, folder.st_mtime_ns, folder.st_ctime_ns
