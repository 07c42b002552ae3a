"""Locks on files. The kernel releases a lock when its file is closed, however the process ends."""

from __future__ import annotations

import fcntl
from typing import BinaryIO


def try_lock(file: BinaryIO | int) -> bool:
    """Lock *file* (or its descriptor), and return whether it was free. Raise OSError for any other failure."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
