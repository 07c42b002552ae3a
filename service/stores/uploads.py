"""Files that are not pictures yet: each in a folder that no contact's name leads to, held by whoever writes it.

All of it blocks, and is called in threads. Raises OSError, of which TimeoutError is one.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from service.locks import try_lock

_FOLDER = ".uploads"
_LOCK = "lock"
_AGAIN = 0.002
"""Seconds between two tries to get the lock, which is held for less than that."""


class UploadFile:
    """An upload that grows."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file

    def read(self) -> bytes:
        """All of it."""
        self.file.seek(0)
        return self.file.read()

    def replace(self, data: bytes) -> None:
        """Put *data* in its place."""
        self.file.seek(0)
        self.file.truncate()
        self.file.write(data)

    def make_durable(self) -> None:
        """Return when the disk has it."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def discard(self) -> None:
        """Close it, and remove it unless it has become a picture."""
        try:
            with suppress(OSError):  # bytes for which the disk has no room are discarded anyway
                self.file.close()
        finally:
            self.path.unlink(missing_ok=True)


class UploadFolder:
    """The uploads into the pictures' folder *root*, on the same file system. *timeout* (seconds) bounds a wait."""

    def __init__(self, root: Path, timeout: float) -> None:
        self._folder, self._timeout = root / _FOLDER, timeout

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of all writers into *root*, whatever their process: for a look and a rename, not for a disk."""
        self._folder.mkdir(exist_ok=True)
        with (self._folder / _LOCK).open("ab") as lock:
            deadline = time.monotonic() + self._timeout
            while not try_lock(lock):
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(_AGAIN)
            yield

    def begin(self) -> UploadFile:
        """A new and empty one."""
        with self.alone():
            path = self._folder / secrets.token_hex(8)
            file = path.open("xb+")
            try_lock(file)  # what nobody holds is a leftover
        return UploadFile(path, file)

    def sweep(self) -> None:
        """Remove those whose process has ended."""
        if not self._folder.is_dir():
            return
        with self.alone():
            for path in self._folder.iterdir():
                if path.name == _LOCK:
                    continue
                with path.open("rb") as file:
                    if try_lock(file):
                        path.unlink()


def make_durable(folder: Path) -> None:
    """Return when the disk has the names in *folder*."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
