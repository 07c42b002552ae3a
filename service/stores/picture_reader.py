"""Open files as pictures: their description, their bytes if they are few, and their identity."""

from __future__ import annotations

import os
import stat
from functools import partial

from service.imaging.containers.window import HEAD_BYTES, Beginning, Window
from service.pictures.ports import Loaded
from service.pictures.values import LAST_SECOND
from service.stores import cached_files
from service.stores.describe import describe
from service.stores.descriptions import Descriptions
from service.stores.near import Nearness
from service.stores.versions import read_unchanged, version_of
from service.system.open_file import FileIdentity, read_at


class PictureReader:
    """A reader of files that were opened by a store. *max_bytes* is the largest size of an original.

    *nearness* learns the file system of each file.
    """

    def __init__(self, max_bytes: int, nearness: Nearness) -> None:
        self._max_bytes, self._nearness = max_bytes, nearness
        self._descriptions = Descriptions()

    def read(
        self, contact: int, file: int, most: int, *, cached: os.stat_result | None = None
    ) -> tuple[Loaded, FileIdentity | None]:
        """Describe the open *file* as a picture of *contact*, with its bytes if there are *most* at most.

        Return its identity, too. With *cached*, a status that it had, raise BlockingIOError instead of waiting or
        taking milliseconds.

        A file that is being written may give a mixture, and no identity. Its version then differs when it is read.
        """

        def described(status: os.stat_result) -> Loaded:
            size = status.st_size
            if cached and not (size and stat.S_ISREG(status.st_mode)):
                raise BlockingIOError
            read = cached_files.read if cached else read_at
            data = read(file, 0, size if size <= most else min(HEAD_BYTES, size))
            version, modified = version_of(status, data), _modified(status)
            original = self._descriptions.find(contact, version, size, modified)
            if original is None:
                seen = Beginning(data, size) if cached else Window(data, size, partial(read_at, file))
                original = describe(contact, seen, version=version, modified=modified, max_bytes=self._max_bytes)
                if len(data) == size:
                    self._descriptions.keep(original)
            return Loaded(original, data if len(data) == size <= most else None)

        status, loaded, identity = read_unchanged(file, described, cached)
        self._nearness.note(file, status.st_dev)
        return (loaded, identity) if identity is not None else (Loaded(loaded.original, None), None)

    def read_cached(self, contact: int, file: int, status: os.stat_result, most: int) -> tuple[Loaded, FileIdentity]:
        """Return the same as `read`, without waiting for the disk. *status* is one that the file had.

        Raise OSError if the file is not in memory, if its header is not short, and if it may be no sound picture.
        """
        loaded, identity = self.read(contact, file, most, cached=status)
        if identity is None or loaded.original.fault:
            raise BlockingIOError
        return loaded, identity


def _modified(status: os.stat_result) -> int | None:
    """Return the modification time in Unix seconds, or None when an HTTP-date cannot hold it (RFC 9110 5.6.7)."""
    seconds = int(status.st_mtime)
    return seconds if 0 <= seconds <= LAST_SECOND else None
