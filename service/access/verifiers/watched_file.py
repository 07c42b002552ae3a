"""A file of users or keys that is read again when it has changed. This module does not know what is in it."""

from __future__ import annotations

import asyncio
import stat
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from service.access.ports import BadFile
from service.access.schemes import AuthOptions
from service.system.threads import Threads

T = TypeVar("T")

_READ_TIMEOUT = 1.0
"""Seconds to wait until another thread has read the file."""

State = tuple[int, int, int, int]
"""The times of modification and of change of a file in nanoseconds, its size in bytes, and its inode."""


_HANGS_AFTER = 5.0
"""Seconds after which a look at a file counts as hung, as on a network file system without its server."""


class WatchedFile(Generic[T]):
    """What *read* returns for the file at *path*. Raise `BadFile` if it cannot be used.

    If the file becomes unusable later, what was last read stays, and *unusable* is called once with the reason. After a
    change, *changed* is called with what was read before and what is read now, and returns what to use.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], T],
        changed: Callable[[T, T], T],
        unusable: Callable[[str], object],
    ) -> None:
        self._path, self._read, self._changed, self._unusable = path, read, changed, unusable
        self._state, self._fault = _state(path), ""
        self._contents = read(path)
        self._reading = threading.Lock()
        self._threads = Threads(1, name="credentials", hangs_after=_HANGS_AFTER, spare=0)
        weakref.finalize(self, self._threads.shutdown)

    async def refresh(self) -> T:
        """Return what `current` does, without blocking. Raise TimeoutError while an earlier call hangs."""
        return await asyncio.shield(self._threads.run(self.current))

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown()

    def current(self) -> T:
        """Return the contents of the file, or those of its last usable state. Threads may call this; it blocks.

        While a thread hangs in a read of the file, this returns what was read last.
        """
        if not self._reading.acquire(timeout=_READ_TIMEOUT):
            return self._contents
        try:
            if (now := _state(self._path)) != self._state:
                self._contents = self._changed(self._contents, self._read(self._path))
                self._state, self._fault = now, ""
        except BadFile as error:
            if self._fault != (fault := str(error)):
                self._fault = fault
                self._unusable(fault)
        finally:
            self._reading.release()
        return self._contents


def require_unwritable(path: Path, auth: AuthOptions) -> None:
    """Raise `BadFile` if the group or all users may write the file at *path*, unless *auth* accepts that."""
    writable = path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if writable and "writable_users" not in auth.accept:
        raise BadFile(
            f"{path}: others than its owner may write it, and so let themselves in: "
            f"`chmod go-w {path}`, or name writable_users in auth.accept"
        )


def _state(path: Path) -> State:
    """Return the state of the file at *path*, which differs after every change. Raise `BadFile`."""
    try:
        status = path.stat()
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
