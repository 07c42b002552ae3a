"""Whether the folder at the path of the pictures is the folder in force: the one in which pictures were seen before.

A lost mount leaves an empty folder in its place, in which every picture would seem to be missing. This module does not
know the cache.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from itertools import accumulate, chain, islice, repeat
from mmap import mmap
from pathlib import Path

import structlog

from service.stores.names import files_of, pictures_in
from service.stores.openat2 import Links
from service.stores.picture_folder import PictureFolder
from service.system.open_file import read_at

log = structlog.get_logger()

_CONTACTS = 32
"""Contacts that are looked for in another folder: the last ones that had a picture."""
_MAX_ABSENT = 10
"""Known pictures that are missing within `_ABSENT_WITHIN`, and none present, that are an outage."""
_ABSENT_WITHIN = 10_000
"""Milliseconds in which known pictures are counted as missing."""
_LOOK_PAUSE = 0.5
"""Seconds between two looks for these contacts during an outage."""
_MAX_IDENTITY = 256
"""Bytes of the marker that are its identity."""

_DEVICE, _INODE, _PATH, _LOST, _NEXT = range(5)
"""Positions in the shared numbers. They are followed by contacts, of which 0 is none, and times."""


class FolderLost(OSError):
    """The folder at the path is not the folder in force. It has no error number: the loss is logged once."""


class FolderInForce:
    """The folder in force at *root*, known by device and inode. There is none until a picture has been seen.

    Another folder at *root* replaces it if the path leads elsewhere, as after a switch of a link, or if one of the last
    contacts that had a picture has one in it, as after a new mount. Otherwise the folder is lost until it is back or
    `accept_any` is called. It is also lost when ten known pictures were missing in a row, until one of these contacts
    has a picture again. With a *marker*, the name of a file, the folder with that file is in force, and no other.

    All processes that are forked from the one that makes an instance share its numbers. They need no lock: a process
    that reads numbers which another one is changing looks once more. All methods but `accept_any` and `present_in`
    block and raise OSError.
    """

    def __init__(self, root: Path, marker: str = "", links: Links = "inside") -> None:
        self.marker = marker
        self._root, self._at = os.fspath(root), PictureFolder(root, links)
        parts = _NEXT + 1, _CONTACTS, _MAX_ABSENT, _MAX_ABSENT
        shared = memoryview(mmap(-1, 8 * sum(parts))).cast("Q")
        ends = [*accumulate(parts)]
        self._numbers, self._contacts = shared[: ends[0]], shared[ends[0] : ends[1]]
        self._absent, self._absent_at = shared[ends[1] : ends[2]], shared[ends[2] :]
        self._lock, self._listing = threading.Lock(), threading.Lock()  # of this process
        self._next_look = 0.0
        self._reported = False

    def require(self) -> None:
        """Raise OSError unless the folder at the path is in force, or none is."""
        self._status()

    def look(self) -> None:
        """Raise as `require`, and if the folder cannot be listed. Put the folder in force if it holds a picture."""
        status = self._status()
        os.scandir(self._root).close()
        if self.marker:
            return
        if self._numbers[_INODE]:
            self._numbers[_PATH] = self._path()  # the folder itself may have been moved to the path
        elif self._listing.acquire(blocking=False):  # a shard on a disk that hangs holds one thread only
            try:
                contacts = self._listed()
            finally:
                self._listing.release()
            with self._lock:
                if not self._numbers[_INODE]:
                    self._put_in_force(status, contacts)

    def present(self, contact: int) -> None:
        """Note that *contact* has a picture. Raise as `require`."""
        status = self._status()
        if self.marker:
            return
        if self._absent[0]:
            self._keep_absent({})
        if not self._numbers[_INODE]:
            with self._lock:
                self._put_in_force(status, (contact,))
        else:
            self._note(contact)

    def present_in(self, folder: os.stat_result, contact: int) -> bool:
        """Note the same if the folder with that status is certainly in force, and return whether it is.

        The marker must have been seen. Unlike `present`, this does not block.
        """
        numbers = self._numbers
        if not self.marker:
            if self._absent[0] or numbers[_LOST]:
                return False
            if (folder.st_ino, folder.st_dev) != (numbers[_INODE], numbers[_DEVICE]):
                return False
            self._note(contact)
        return not self._reported

    def absent(self, contact: int, *, known: bool) -> None:
        """Note that *contact* has no picture; *known* is whether a record says that it has. Raise as `require`.

        Raise OSError too if too many known pictures are missing now.
        """
        status = self._status()
        if self.marker or not known:
            return
        with self._lock:
            now = int(time.monotonic() * 1000)
            earlier = zip(self._absent, self._absent_at, strict=True)
            absent = {each: at for each, at in earlier if each and now - at < _ABSENT_WITHIN} | {contact: now}
            if len(absent) < _MAX_ABSENT:
                self._keep_absent(absent)
                return
            self._keep_absent({})
            known_ones = [*filter(None, self._contacts), *absent][:_CONTACTS]
            if not self._one_has_a_picture(known_ones):
                self._put_in_force(status, known_ones)
                self._numbers[_LOST] = 1
                self._raise_lost(f"{len(absent)} known pictures were missing in a row")

    def removed(self, contact: int) -> None:
        """Note that the picture of *contact* was deleted by a request. A folder without pictures is not in force."""
        contacts = self._contacts.tolist()
        if contact in contacts:
            self._contacts[contacts.index(contact)] = 0
            if not any(self._contacts):
                with self._lock:
                    self._put_in_force(os.stat(self._root), self._listed())

    def identity(self) -> str | None:
        """Return the text in the marker, or None if there is no marker or no text in it. Raise as `require`."""
        self._status()
        if not self.marker:
            return None
        with self._at.opened() as folder, folder.opened(self.marker) as file:
            data = b"" if file is None else read_at(file, 0, _MAX_IDENTITY)
            return data.decode(errors="replace").strip() or None

    def accept_any(self) -> None:
        """Accept the folder that is at the path from now on, whatever it holds."""
        self._numbers[_LOST] = self._numbers[_INODE] = 0

    def _note(self, contact: int) -> None:
        if contact not in self._contacts.tolist():
            at = self._numbers[_NEXT] % _CONTACTS
            self._contacts[at], self._numbers[_NEXT] = contact, at + 1

    def _status(self) -> os.stat_result:
        """Return the status of the folder at the path. Raise OSError unless it is in force, or none is."""
        status, numbers = os.stat(self._root), self._numbers
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._root)
        inode = numbers[_INODE]
        if self.marker:
            self._require_marker()
        elif inode and (numbers[_LOST] or status.st_ino != inode or status.st_dev != numbers[_DEVICE]):
            with self._lock:
                self._replace(status)
        if self._reported:
            self._reported = False
            log.info("images.back", folder=self._root)
        return status

    def _require_marker(self) -> None:
        with self._at.opened() as folder:
            present = folder.status(self.marker) is not None
        if not present:
            self._raise_lost(f"{self.marker} is missing")

    def _replace(self, status: os.stat_result) -> None:
        """Put the folder with *status* in force, if it may replace the one that is."""
        numbers = self._numbers
        other = (status.st_dev, status.st_ino) != (numbers[_DEVICE], numbers[_INODE])
        if other and self._path() != numbers[_PATH]:
            self._put_in_force(status, self._listed())
            return
        contacts = [*filter(None, self._contacts)]
        if time.monotonic() < self._next_look or not self._one_has_a_picture(contacts):
            self._raise_lost("another folder is at the path" if other else "the known pictures are still missing")
        self._put_in_force(status, contacts)

    def _put_in_force(self, status: os.stat_result, contacts: Iterable[int]) -> None:
        """Put the folder with *status* in force, in which *contacts* have pictures; without any, none is in force."""
        numbers, known = self._numbers, [*contacts]
        for at, contact in enumerate(known + [0] * (_CONTACTS - len(known))):
            self._contacts[at] = contact
        numbers[_DEVICE], numbers[_PATH], numbers[_LOST], numbers[_NEXT] = status.st_dev, self._path(), 0, len(known)
        numbers[_INODE] = status.st_ino if known else 0

    def _raise_lost(self, reason: str) -> None:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_PAUSE
        if not self._reported:
            log.warning("images.lost", folder=self._root, reason=reason)
        self._reported = True
        raise FolderLost(reason)

    def _keep_absent(self, absent: dict[int, int]) -> None:
        """Keep the contacts whose known pictures are missing, each with the time of its last lookup."""
        for at, (contact, time_ms) in enumerate(islice(chain(absent.items(), repeat((0, 0))), _MAX_ABSENT)):
            self._absent[at], self._absent_at[at] = contact, time_ms

    def _path(self) -> int:
        """Return a number for the path without links."""
        return int.from_bytes(blake2b(os.fsencode(os.path.realpath(self._root)), digest_size=8).digest())

    def _listed(self) -> list[int]:
        """Return contacts with pictures in the folder, in the order in which the system lists them."""
        contacts: list[int] = []
        with suppress(OSError), self._at.opened() as folder:  # a shard that cannot be read
            contacts.extend(contact for contact, _ in islice(pictures_in(folder), _CONTACTS))
        return contacts

    def _one_has_a_picture(self, contacts: Iterable[int]) -> bool:
        with self._at.opened() as folder:
            return any(file.size for contact in contacts for file in files_of(folder, contact))
