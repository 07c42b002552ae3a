"""Paths in an open folder, on which symbolic links are followed or refused. This module does not know pictures.

Linux does that in one system call, openat2(2). Elsewhere, and where a sandbox does not allow it, the names are opened
one after the other.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.stores import openat2
from service.stores.openat2 import FOLLOWING, Links

_MOST_LINKS = 40
"""Links on one path, as in Linux."""
_TRIES = 8
"""Calls for one path. A rename anywhere in the system can make Linux ask for another."""
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Error numbers of paths that lead to nothing, in a circle, or to a socket."""
_LOOK = getattr(os, "O_PATH", 0) | os.O_CLOEXEC
"""Flags by which Linux opens a name, but not the file: a pipe or a device does not notice."""
FOLDER = getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_CLOEXEC
"""Flags by which a folder is opened."""

_libc = ctypes.CDLL(None, use_errno=True)  # it releases the interpreter's lock: these calls may wait for a disk


class LinkRefused(Exception):
    """A symbolic link on the path is not to be followed."""


def status_at(folder: int, path: str, links: Links) -> os.stat_result | None:
    """Return the status of what is at *path* in *folder*, or None. Raise as `open_at`. Nothing is opened."""
    if sys.platform != "linux":
        return _status(folder, path, links)
    descriptor = open_at(folder, path, _LOOK, links)
    if descriptor is None:
        return None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def open_at(folder: int, path: str, flags: int, links: Links) -> int | None:
    """Open what is at *path* in *folder*. Return None if there is nothing. Raise `LinkRefused`, or OSError."""
    if sys.platform != "linux":
        return _open(folder, path, flags, links)
    name, how = os.fsencode(path), openat2.how(flags, FOLLOWING[links])
    for _ in range(_TRIES):
        descriptor: int = _libc.syscall(openat2.NUMBER, folder, name, how, openat2.BYTES)
        if descriptor >= 0:
            return descriptor
        if (number := ctypes.get_errno()) == errno.ENOENT:
            return None
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    if number in (errno.ENOSYS, errno.EPERM):
        return _open(folder, path, flags, links)
    if (links, number) in (("inside", errno.EXDEV), ("none", errno.ELOOP)):
        raise LinkRefused
    if number in _ABSENT:
        return None
    raise OSError(number, os.strerror(number), path)


def _status(folder: int, path: str, links: Links) -> os.stat_result | None:
    with _absent_is_none(), _last_name(folder, path, links) as (parent, name):
        return os.stat(name, dir_fd=parent, follow_symlinks=links == "all")
    return None


def _open(folder: int, path: str, flags: int, links: Links) -> int | None:
    with _absent_is_none(), _last_name(folder, path, links) as (parent, name):
        return os.open(name, flags if links == "all" else flags | os.O_NOFOLLOW, dir_fd=parent)
    return None


@contextmanager
def _absent_is_none() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _ABSENT:
            raise


@contextmanager
def _last_name(folder: int, path: str, links: Links) -> Iterator[tuple[int, str]]:
    """Yield the last name on *path*, and an open folder in which it is no link. With all links, yield the arguments."""
    if links == "all":
        yield folder, path
        return
    names, folders, followed = _reversed_names(path), [folder], 0
    try:
        while names:
            name = names.pop()
            if name == "..":
                if len(folders) == 1:
                    raise LinkRefused
                os.close(folders.pop())
            elif (target := _target(folders[-1], name)) is not None:
                if links == "none" or target.startswith("/"):
                    raise LinkRefused
                followed += 1
                if followed > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                names += _reversed_names(target)
            elif names:
                folders.append(os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folders[-1]))
            else:
                yield folders[-1], name
                return
        yield folders[-1], "."
    finally:
        for each in folders[1:]:
            os.close(each)


def _reversed_names(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _target(folder: int, name: str) -> str | None:
    """Return where the link *name* in *folder* leads, or None if it is no link."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise
