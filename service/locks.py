"""Locks on files. The kernel gives them back when the file is closed, however its process ends."""

from __future__ import annotations

import fcntl
from typing import BinaryIO


def try_lock(file: BinaryIO | int) -> bool:
    """Whether the lock on *file* (or on its descriptor) could be had at once. Raises OSError for other faults."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
