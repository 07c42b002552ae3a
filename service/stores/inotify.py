"""Read from the kernel which names in folders change: inotify of Linux, by ctypes. This module does not know contacts.

The manual page inotify(7) has the events. Python's standard library does not have inotify.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

NAME_CHANGED = 0x100 | 0x200 | 0x40 | 0x80  # IN_CREATE, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO
"""Events of a name that is new in a folder, or that is gone from it."""
FOLDER_GONE = 0x400 | 0x800 | 0x8000  # IN_DELETE_SELF, IN_MOVE_SELF, IN_IGNORED
"""Events of a watched folder that was removed or moved, or that is not watched any more."""
UNMOUNTED = 0x2000  # IN_UNMOUNT
"""The event of a watched folder whose file system was unmounted."""
OVERFLOW = 0x4000  # IN_Q_OVERFLOW
"""The event after which events were lost: more than `fs.inotify.max_queued_events` were waiting."""

_FILE_CHANGED = 0x2 | 0x4 | 0x8  # IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE
_WATCHED = NAME_CHANGED | _FILE_CHANGED | 0x400 | 0x800 | 0x0100_0000  # the last is IN_ONLYDIR
_HEAD = struct.Struct("iIII")
"""The fields of an event before its name: watch, flags, cookie, and the length of the name in bytes."""
_BUFFER = 1 << 20
"""Bytes read at once: more than a full queue of usual events."""
LIMITS = {
    errno.ENOSPC: "fs.inotify.max_user_watches is used up",
    errno.EMFILE: "fs.inotify.max_user_instances, or the process's limit of descriptors, is used up",
    errno.ENFILE: "fs.file-max is used up",
    errno.ENOSYS: "changes of files are reported on Linux only",
}
"""The reasons of errors that mean that there is no watch. Their usual texts speak of disks and files."""

_libc = ctypes.CDLL(None, use_errno=True)


class Event(NamedTuple):
    """An event. *name* is empty if it concerns the folder itself. *watch* is -1 in the case of `OVERFLOW`."""

    watch: int
    flags: int
    name: str


class Inotify:
    """A queue of events in the folders that `add` has named. OSError means that there is none, or no further watch."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, LIMITS[errno.ENOSYS])
        self._file = _result(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def add(self, folder: str) -> int:
        """Watch *folder*, and return the number of the watch, which two paths of one folder share."""
        return _result(_libc.inotify_add_watch(self._file, os.fsencode(folder), _WATCHED), folder)

    def wait(self, seconds: float) -> bool:
        """Wait for an event. Return whether there is one."""
        return bool(self._poll.poll(seconds * 1000))

    def read(self) -> Iterator[Event]:
        """Take the waiting events out of the queue. There may be none."""
        try:
            data = os.read(self._file, _BUFFER)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            watch, flags, _, length = _HEAD.unpack_from(data, position)
            position += _HEAD.size + length
            yield Event(watch, flags, os.fsdecode(data[position - length : position].rstrip(b"\0")))

    def close(self) -> None:
        os.close(self._file)


def _result(value: int, path: str | None = None) -> int:
    """Return the result of a function of the C library. Raise OSError if it is -1."""
    if value == -1:
        number = ctypes.get_errno()
        raise OSError(number, LIMITS.get(number) or os.strerror(number), path)
    return value
