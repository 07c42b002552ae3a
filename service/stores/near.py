"""Which file systems are local, so that a read of an open file neither fails nor waits for a network."""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

_libc = ctypes.CDLL(None)

_LOCAL = {
    0xEF53,  # ext2, ext3, ext4
    0x58465342,  # XFS
    0x9123683E,  # Btrfs
    0x2FC12FC1,  # ZFS
    0xF2F52010,  # F2FS
    0xCA451A4E,  # bcachefs
    0x01021994,  # tmpfs
    0x794C7630,  # overlay, the file system of containers
    0x73717368,  # SquashFS
}
"""Numbers of file systems, as statfs(2) returns them."""
_STATFS_BYTES = 256
"""Bytes of a buffer that holds a `struct statfs`, which has 120. The number of the file system comes first."""


def is_near(file: int) -> bool:
    """Return whether the open *file* is on a file system that is known to be local. It is False outside Linux."""
    if sys.platform != "linux":
        return False
    status = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.fstatfs(file, status) != 0:
        return False
    return ctypes.c_long.from_buffer(status).value & 0xFFFFFFFF in _LOCAL


class Nearness:
    """Whether a folder is near. With "auto" it is what the file system of the last file shows, and far before.

    *devices* says by device whether it is a local file system, as files have shown, and *local* the same of the last
    file.
    """

    def __init__(self, setting: bool | Literal["auto"]) -> None:
        self._auto = setting == "auto"
        self.devices: dict[int, bool] = {}
        self.near = setting is True
        self.local = False

    def note(self, file: int, device: int) -> None:
        """Note the file system of the open *file*, which is on *device*."""
        if device not in self.devices:
            self.devices[device] = is_near(file)
        self.local = self.devices[device]
        if self._auto:
            self.near = self.local
