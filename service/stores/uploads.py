"""Files of uploads that are not pictures yet, in a subfolder. The process that writes a file holds a lock on it.

All functions block, so they are called in threads. They raise OSError; TimeoutError is one.
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
_PAUSE = 0.002
"""Seconds between two tries to get the lock. It is held for less time than that."""


class UploadFile:
    """The file of one upload."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file

    def read(self) -> bytes:
        """Return all bytes written so far."""
        self.file.seek(0)
        return self.file.read()

    def open(self) -> int:
        """Return a descriptor for reading all bytes written so far."""
        self.file.flush()
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def replace(self, data: bytes) -> None:
        """Replace the contents by *data*."""
        self.file.seek(0)
        self.file.truncate()
        self.file.write(data)

    def make_durable(self) -> None:
        """Return when the bytes are on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def discard(self) -> None:
        """Close the file, and remove it unless it was renamed."""
        try:
            with suppress(OSError):  # a full disk does not matter for bytes that are discarded
                self.file.close()
        finally:
            self.path.unlink(missing_ok=True)


class UploadFolder:
    """The uploads into *root*, the folder of originals, on the same file system.

    *timeout* is the number of seconds to wait for the lock, *mode* that of new files. The folder's has x in addition.
    """

    def __init__(self, root: Path, timeout: float, mode: int = 0o640) -> None:
        self._folder, self._timeout, self._mode = root / _FOLDER, timeout, mode

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the lock of all processes that write into *root*. It must not be held while data go to the disk."""
        if not self._folder.is_dir():
            self._make()
        with (self._folder / _LOCK).open("ab") as lock:
            deadline = time.monotonic() + self._timeout
            while not try_lock(lock):
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(_PAUSE)
            yield

    def begin(self) -> UploadFile:
        """Create the file of a new upload."""
        with self.write_lock():
            path = self._folder / secrets.token_hex(8)
            file = path.open("xb+")
            try_lock(file)  # `sweep` removes files that are not locked
            set_mode(file.fileno(), self._mode)
        return UploadFile(path, file)

    def _make(self) -> None:
        """Make the folder and the file of the lock, which other users of the group may share."""
        self._folder.mkdir(exist_ok=True)
        set_mode(self._folder, self._mode | (self._mode & 0o444) >> 2)
        lock = self._folder / _LOCK
        lock.touch()
        set_mode(lock, self._mode)

    def sweep(self) -> None:
        """Remove the uploads of processes that have ended."""
        if not self._folder.is_dir():
            return
        with self.write_lock():
            for path in self._folder.iterdir():
                if path.name == _LOCK:
                    continue
                with path.open("rb") as file:
                    if try_lock(file):
                        path.unlink()


def set_mode(file: int | Path, mode: int) -> None:
    """Set the mode of *file*, whatever the process's umask is."""
    with suppress(PermissionError):  # a file system without modes, or another process has made it
        os.chmod(file, mode)


def make_names_durable(folder: Path) -> None:
    """Return when the names of the files in *folder* are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
