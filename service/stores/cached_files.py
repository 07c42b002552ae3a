"""Files that the kernel holds in memory: they are opened and read without waiting for a disk.

Linux alone can say that it would have to wait: openat2(2) by `RESOLVE_CACHED`, and preadv2(2) by `RWF_NOWAIT`. These
calls take microseconds, and need no thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterable
from typing import Any

from service.stores import openat2
from service.stores.openat2 import CACHED, FOLLOWING, NO_XDEV, Links

_AT_FDCWD = -100
_PATH = getattr(os, "O_PATH", 0) | os.O_CLOEXEC
_FOLDER = openat2.how(_PATH | os.O_DIRECTORY, CACHED)
_NAME = {links: openat2.how(_PATH, CACHED | NO_XDEV | resolve) for links, resolve in FOLLOWING.items()}
_FILE = {
    links: openat2.how(os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, CACHED | NO_XDEV | resolve)
    for links, resolve in FOLLOWING.items()
}

_libc = ctypes.PyDLL(None, use_errno=True)  # it keeps the interpreter's lock, since these calls do not wait


def open_folder(path: str) -> int:
    """Return a descriptor of the folder, by which files in it are opened. Raise as `open_first`."""
    folder = _open(_AT_FDCWD, os.fsencode(path), _FOLDER)
    if folder is None:
        raise BlockingIOError
    return folder


def open_first(folder: int, paths: Iterable[str], links: Links) -> tuple[int, os.stat_result] | None:
    """Open the file at the first of *paths* in *folder* that exists. *links* are followed.

    Return its descriptor and the status that it had before, or None if there is none.

    Raise BlockingIOError if the call would have to wait or fails otherwise, if the path leads to another file system or
    to no regular file, and where there is no such call.
    """
    for path in paths:
        name = path.encode()
        if (found := _open(folder, name, _NAME[links])) is not None:
            status = os.fstat(found)
            os.close(found)
            if not stat.S_ISREG(status.st_mode):  # a pipe or a device must not be opened
                raise BlockingIOError
            file = _open(folder, name, _FILE[links])
            return None if file is None else (file, status)
    return None


def exists(folder: int, path: str, links: Links) -> bool:
    """Return whether there is a file at *path* in *folder*. Raise as `open_first`."""
    file = _open(folder, os.fsencode(path), _NAME[links])
    if file is not None:
        os.close(file)
    return file is not None


def read_if_cached(file: int, position: int, size: int) -> bytes | None:
    """Return the same as `read`, or None where that raises."""
    try:
        return read(file, position, size)
    except BlockingIOError:
        return None


def read(file: int, position: int, size: int) -> bytes:
    """Return *size* bytes of the open *file* from *position*. Raise BlockingIOError unless they are in memory."""
    if sys.platform != "linux":
        raise BlockingIOError
    data = bytearray(size)
    try:
        length = os.preadv(file, (data,), position, os.RWF_NOWAIT)
    except OSError as error:
        raise BlockingIOError from error  # a file system that has no such read, among others
    if length != size:
        raise BlockingIOError
    return bytes(data)


def _open(folder: int, name: bytes, how: Any) -> int | None:
    if sys.platform != "linux":
        raise BlockingIOError
    descriptor: int = _libc.syscall(openat2.NUMBER, folder, name, how, openat2.BYTES)
    if descriptor >= 0:
        return descriptor
    if ctypes.get_errno() == errno.ENOENT:
        return None
    raise BlockingIOError
