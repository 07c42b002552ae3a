"""Slots for rendering, shared by several processes: locked files, which the kernel unlocks when a process dies.

A process first locks a queue file, and then one of the slot files. Otherwise a process that has just released its slot
would get it back before a waiting process tries again.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from service.system.locks import try_lock

_PAUSE = 0.002
"""Seconds between two tries to lock a file. A render takes longer."""


class RenderSlots:
    """At most *count* slots are taken at the same time by all processes that use *directory*."""

    def __init__(self, directory: Path, count: int) -> None:
        self.directory, self.count = directory, count
        self._queue = directory / "queue"
        self._slots = [directory / f"slot-{number}" for number in range(count)]

    async def take(self) -> Slot:
        """Wait for a free slot and return it."""
        with await _lock_first([self._queue]):
            return await _lock_first(self._slots)


class Slot:
    """A locked file. It is unlocked by `release`, at the end of a `with` block, or when the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Unlock the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


async def _lock_first(files: list[Path]) -> Slot:
    """Wait until one of *files* is free, and lock it."""
    while True:
        for file in files:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if try_lock(descriptor):
                return Slot(descriptor)
            os.close(descriptor)
        await asyncio.sleep(_PAUSE)
