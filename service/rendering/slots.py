"""RenderSlots to render, among processes that are more than may render at once: locked files, which the kernel unlocks.

A turn is a lock on one of a few files. Who wants one stands at a door first, another lock, so that a process that
has just given its turn back does not get it again before one that waits.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from service.locks import try_lock

_PAUSE = 0.002
"""Seconds between two looks for a free turn; a render takes longer."""


class RenderSlots:
    """At most *count* slots at once, for all who share *directory*."""

    def __init__(self, directory: Path, count: int) -> None:
        self._door = directory / "door"
        self._slots = [directory / f"turn-{number}" for number in range(count)]

    async def take(self) -> Slot:
        """A turn, as soon as there is one. May be cancelled."""
        with await _first([self._door]):
            return await _first(self._slots)


class Slot:
    """A locked file. It ends with `give`, with a `with` block, or with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def give(self) -> None:
        """Let another have it."""
        os.close(self._descriptor)

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.give()


async def _first(files: list[Path]) -> Slot:
    """A lock on the first of *files* that nobody holds."""
    while True:
        for file in files:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if try_lock(descriptor):
                return Slot(descriptor)
            os.close(descriptor)
        await asyncio.sleep(_PAUSE)
