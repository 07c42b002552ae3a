"""Files that are opened in one process and read in another."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

FileIdentity = tuple[int, int, int, int, int]
"""Device, inode, size, modification time and change time. Every change of a file changes at least one on this host."""


class OpenFile:
    """An open local file, which a render process reads.

    It has this *identity* before and after the read, or its bytes are not used. Copies of one picture have the same
    *picture*. *read* returns the bytes by the store, when the render process could not read them.
    """

    def __init__(
        self, descriptor: int, identity: FileIdentity, picture: object, read: Callable[[], Awaitable[bytes]]
    ) -> None:
        self.descriptor, self.identity, self.picture, self.read = descriptor, identity, picture, read

    def close(self) -> None:
        """Close the descriptor, if it is open."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()  # after the time limit of the store, no request takes the result of its thread


class FileUnread(Exception):
    """The file has another identity than expected, or cannot be read."""


def file_identity(status: os.stat_result) -> FileIdentity:
    """Return the identity of a file with this *status*."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_whole(descriptor: int, identity: FileIdentity) -> bytes:
    """Return the bytes of the open file. Raise `FileUnread` if its identity is not *identity*, or it cannot be read."""
    size = identity[2]
    try:
        data = read_at(descriptor, 0, size)
        after = file_identity(os.fstat(descriptor))
    except OSError as error:
        raise FileUnread from error
    if after != identity or len(data) != size:
        raise FileUnread
    return data


def read_at(file: int, position: int, size: int) -> bytes:
    """Return *size* bytes of the open *file* from *position*, or fewer at its end."""
    data = os.pread(file, size, position)
    while len(data) < size and (more := os.pread(file, size - len(data), position + len(data))):
        data += more  # network file systems may return fewer bytes than there are
    return data
