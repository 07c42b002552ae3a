"""The arguments of openat2(2), a system call of Linux for which the C library has no function."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Literal

Links = Literal["inside", "all", "none"]
"""The symbolic links that are followed: relative ones that stay in the folder, all of them, or none."""

NUMBER = 437
"""The number of the system call. All processors but Alpha have the same."""
NO_XDEV = 0x01
"""`RESOLVE_NO_XDEV`: the path stays on the file system where it begins."""
CACHED = 0x20
"""`RESOLVE_CACHED`: the names are in memory."""
FOLLOWING: dict[Links, int] = {"inside": 0x08, "all": 0, "none": 0x04}
"""`RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`, by which links are followed."""


class _How(ctypes.Structure):
    """The `struct open_how`."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


BYTES = ctypes.c_size_t(ctypes.sizeof(_How))
"""Bytes of the structure."""


@cache
def how(flags: int, resolve: int) -> Any:
    """Return a pointer to the structure with these values."""
    return ctypes.byref(_How(flags, 0, resolve))
