"""The folder of pictures, which is opened for each look: a folder that stays open cannot be unmounted.

Every file in it is reached from the open folder, so that a link on its path is followed as the setting says.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import ParamSpec, TypeVar

import structlog

from service.stores.links import FOLDER, LinkRefused, open_at, status_at
from service.stores.openat2 import Links

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger()

_PAUSE = 60.0
"""Seconds between two lines of the log that name a refused link."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # opening a named pipe must not block
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class PictureFolder:
    """The folder at *path*, in which *links* are followed. The path itself may have any links."""

    def __init__(self, path: str | os.PathLike[str], links: Links) -> None:
        self.path, self.links = os.fspath(path), links
        self._next_report = float("-inf")

    @contextmanager
    def opened(self) -> Iterator[OpenFolder]:
        """Open the folder until the block ends. Raise OSError."""
        descriptor = os.open(self.path, FOLDER)
        try:
            yield OpenFolder(descriptor, self)
        finally:
            os.close(descriptor)

    def refuse(self, path: str) -> None:
        """Log that a link on *path* is refused, once a minute."""
        if (now := time.monotonic()) >= self._next_report:
            self._next_report = now + _PAUSE
            log.warning("images.link_refused", file=f"{self.path}/{path}", follow_links=self.links)


class OpenFolder:
    """The open folder *at*. Paths are relative to it. A path with a refused link leads to nothing.

    OSErrors name the whole path.
    """

    def __init__(self, descriptor: int, at: PictureFolder) -> None:
        self.descriptor, self._at = descriptor, at

    def status(self, path: str) -> os.stat_result | None:
        """Return the status of what is at *path*, or None if there is nothing. The file is not opened."""
        return self._named(path, status_at, self.descriptor, path, self._at.links)

    def statuses(self, within: str, names: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
        """Yield path and status of what is called one of *names* in the folder itself, or in the one at *within*."""
        prefix = within and f"{within}/"
        with self._subfolder(within, FOLDER) as folder:
            for name in names if folder is not None else ():
                try:
                    status: os.stat_result | None = os.stat(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    error.filename = self._whole(prefix + name)
                    raise
                path = prefix + name
                if status is not None and stat.S_ISLNK(status.st_mode):
                    status = self.status(path)
                if status is not None:
                    yield path, status

    @contextmanager
    def opened(self, path: str) -> Iterator[int | None]:
        """Open the regular file at *path* for reading, and yield its descriptor; None: there is none.

        An OSError inside names the file.
        """
        file = self._open(path, _READ)
        try:
            yield file if file is not None and stat.S_ISREG(os.fstat(file).st_mode) else None
        except OSError as error:
            error.filename = error.filename or self._whole(path)
            raise
        finally:
            if file is not None:
                os.close(file)

    def refuses(self, path: str) -> bool:
        """Return whether a link on *path* is refused."""
        try:
            status_at(self.descriptor, path, self._at.links)
        except LinkRefused:
            return True
        return False

    @contextmanager
    def entries(self, path: str = "") -> Iterator[Iterator[os.DirEntry[str]]]:
        """List the folder itself or the one at *path*. There are no entries if there is none."""
        with self._subfolder(path, _LIST) as folder:
            if folder is None:
                yield iter(())
                return
            with os.scandir(folder) as entries:
                yield entries

    def unlink(self, path: str) -> None:
        """Remove the name *path*, if it exists."""
        with self.place(path) as (folder, name), suppress(FileNotFoundError):
            self._named(path, partial(os.unlink, name, dir_fd=folder))

    def make_folder(self, name: str) -> None:
        """Create the folder *name*, unless something is there already."""
        with suppress(FileExistsError):
            self._named(name, partial(os.mkdir, name, dir_fd=self.descriptor))

    @contextmanager
    def place(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that holds *path*. Yield its descriptor, and the last name. Raise FileNotFoundError."""
        parent, _, name = path.rpartition("/")
        with self._subfolder(parent, FOLDER) as folder:
            if folder is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._whole(path))
            yield folder, name

    def make_names_durable(self, path: str) -> None:
        """Return when the names in the folder that holds *path* are on the disk."""
        with self._subfolder(path.rpartition("/")[0], _LIST) as folder:
            if folder is not None:
                os.fsync(folder)

    @contextmanager
    def _subfolder(self, path: str, flags: int) -> Iterator[int | None]:
        if not path and flags == FOLDER:
            yield self.descriptor
            return
        folder = self._open(path or ".", flags)
        try:
            yield folder
        finally:
            if folder is not None:
                os.close(folder)

    def _open(self, path: str, flags: int) -> int | None:
        return self._named(path, open_at, self.descriptor, path, flags, self._at.links)

    def _named(self, path: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return the result of *call*, or None if it refuses a link. Its OSErrors name the whole path."""
        try:
            return call(*args, **kwargs)
        except LinkRefused:
            self._at.refuse(path)
            return None
        except OSError as error:
            error.filename = self._whole(path)
            raise

    def _whole(self, path: str) -> str:
        return f"{self._at.path}/{path}"
