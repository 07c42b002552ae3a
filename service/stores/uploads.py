"""Files of uploads that are not pictures yet, in a subfolder. The process that writes a file holds a lock on it.

All functions block, so they are called in threads. They raise OSError; TimeoutError is one.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from service.stores.openat2 import Links
from service.stores.picture_folder import OpenFolder, PictureFolder
from service.system.locks import try_lock

_FOLDER = ".uploads"
_LOCK = "lock"
_PAUSE = 0.002
"""Seconds between two tries to get the lock. It is held for less time than that."""
_SAFELY = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags for names in the subfolder. Whatever has been put there, no link is followed, and no pipe is waited for."""


class UploadFile:
    """The *file* of one upload, called *name* in the subfolder *uploads*."""

    def __init__(self, uploads: UploadFolder, name: str, file: BinaryIO) -> None:
        self._uploads, self._name, self.file = uploads, name, file

    def read(self) -> bytes:
        """Return all bytes written so far."""
        self.file.seek(0)
        return self.file.read()

    def open(self) -> int:
        """Return a descriptor for reading all bytes written so far."""
        self.file.flush()
        with self._uploads.opened() as folder:
            file = os.open(self._name, os.O_RDONLY | _SAFELY, dir_fd=folder)
        if os.path.samestat(os.fstat(file), os.fstat(self.file.fileno())):
            return file
        os.close(file)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), self._name)

    def replace(self, data: bytes) -> None:
        """Replace the contents by *data*."""
        self.file.seek(0)
        self.file.truncate()
        self.file.write(data)

    def make_durable(self) -> None:
        """Return when the bytes are on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def rename(self, folder: int, name: str) -> None:
        """Rename the file to *name* in the open *folder*."""
        with self._uploads.opened() as uploads:
            os.rename(self._name, name, src_dir_fd=uploads, dst_dir_fd=folder)

    def discard(self) -> None:
        """Close the file, and remove it unless it was renamed."""
        try:
            with suppress(OSError):  # a full disk does not matter for bytes that are discarded
                self.file.close()
        finally:
            with suppress(FileNotFoundError), self._uploads.opened() as uploads:
                os.unlink(self._name, dir_fd=uploads)


class UploadFolder:
    """The uploads into *root*, the folder of originals, on the same file system.

    *timeout* is the number of seconds to wait for the lock. *links* are followed. *mode* is that of new files, and the
    folder's has x in addition.
    """

    def __init__(self, root: Path, timeout: float, links: Links = "inside", mode: int = 0o640) -> None:
        self._at, self._timeout, self._mode = PictureFolder(root, links), timeout, mode

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the subfolder, and yield its descriptor. Raise FileNotFoundError if there is none."""
        with self._at.opened() as root, root.place(f"{_FOLDER}/") as (folder, _):
            yield folder

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the lock of all processes that write into *root*. It must not be held while data go to the disk."""
        with self._at.opened() as root:
            if root.status(_FOLDER) is None:
                self._make(root)
        with self.opened() as folder:
            lock = self._open_lock(folder)
        try:
            deadline = time.monotonic() + self._timeout
            while not try_lock(lock):
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(_PAUSE)
            yield
        finally:
            os.close(lock)

    def begin(self) -> UploadFile:
        """Create the file of a new upload."""
        with self.write_lock(), self.opened() as folder:
            name = secrets.token_hex(8)
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFELY, self._mode, dir_fd=folder)
            try_lock(file)  # `sweep` removes files that are not locked
            set_mode(file, self._mode)
        return UploadFile(self, name, os.fdopen(file, "rb+"))

    def _make(self, root: OpenFolder) -> None:
        """Make the folder and the file of the lock, which other users of the group may share."""
        root.make_folder(_FOLDER)
        with self.opened() as folder:
            with suppress(PermissionError):  # as in `set_mode`
                os.chmod(".", self._mode | (self._mode & 0o444) >> 2, dir_fd=folder)
            lock = self._open_lock(folder)
        set_mode(lock, self._mode)
        os.close(lock)

    def _open_lock(self, folder: int) -> int:
        return os.open(_LOCK, os.O_WRONLY | os.O_CREAT | _SAFELY, self._mode, dir_fd=folder)

    def sweep(self) -> None:
        """Remove the uploads of processes that have ended."""
        with self._at.opened() as root:
            status = root.status(_FOLDER)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return
        with self.write_lock(), self.opened() as folder, self._at.opened() as root, root.entries(_FOLDER) as entries:
            for entry in entries:
                if entry.name != _LOCK and entry.is_file(follow_symlinks=False):
                    _remove_unlocked(folder, entry.name)


def _remove_unlocked(folder: int, name: str) -> None:
    file = os.open(name, os.O_RDONLY | _SAFELY, dir_fd=folder)
    try:
        if try_lock(file):
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(file)


def set_mode(file: int, mode: int) -> None:
    """Set the mode of the open *file*, whatever the process's umask is."""
    with suppress(PermissionError):  # a file system without modes, or another process has made it
        os.fchmod(file, mode)
