"""Files that the kernel holds in memory: they are opened and read without waiting for a disk.

Linux alone can say that it would have to wait: openat2(2) by `RESOLVE_CACHED`, and preadv2(2) by `RWF_NOWAIT`. These
calls take microseconds, and need no thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

_OPENAT2 = 437
"""The number of the system call, for which the C library has no function. All processors but Alpha have the same."""
_NO_XDEV, _CACHED = 0x01, 0x20
"""`RESOLVE_NO_XDEV`: the path stays on the file system where it begins. `RESOLVE_CACHED`: the names are in memory."""
_AT_FDCWD = -100

_libc = ctypes.PyDLL(None, use_errno=True)  # it keeps the interpreter's lock, since these calls do not wait


class _How(ctypes.Structure):
    """The `struct open_how` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_FOLDER = _How(os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _CACHED) if sys.platform == "linux" else None
_ANY = _How(os.O_PATH | os.O_CLOEXEC, 0, _CACHED) if sys.platform == "linux" else None
_FILE = _How(os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, 0, _CACHED | _NO_XDEV) if sys.platform == "linux" else None
_HOW_BYTES = ctypes.c_size_t(ctypes.sizeof(_How))


def open_folder(path: str) -> int:
    """Return a descriptor of the folder, by which files in it are opened. Raise as `open_file`."""
    folder = _open(_AT_FDCWD, path, _FOLDER)
    if folder is None:
        raise BlockingIOError
    return folder


def open_file(folder: int, path: str) -> int | None:
    """Return a descriptor of the file at *path* in *folder*, or None if there is none.

    Raise BlockingIOError if the call would have to wait or fails otherwise, if the path leads to another file system,
    and where there is no such call.
    """
    return _open(folder, path, _FILE)


def exists(folder: int, path: str) -> bool:
    """Return whether there is a file at *path* in *folder*. Raise as `open_file`."""
    file = _open(folder, path, _ANY)
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


def _open(folder: int, path: str, how: _How | None) -> int | None:
    if how is None:
        raise BlockingIOError
    name = os.fsencode(path)
    descriptor: int = _libc.syscall(_OPENAT2, folder, name, ctypes.byref(how), _HOW_BYTES)
    if descriptor >= 0:
        return descriptor
    if ctypes.get_errno() == errno.ENOENT:
        return None
    raise BlockingIOError
