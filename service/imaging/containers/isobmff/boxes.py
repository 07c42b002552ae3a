"""The sequence of boxes in an ISO base media file (section 4.2), in bounded steps. It gives box types no meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from service.imaging.containers.window import Bytes
from service.imaging.errors import too_much_work

MAX_STEPS = 20_000
"""Boxes, entries and extents that are read. A grid of 50 megapixels in tiles of 256 pixels has 800 of each."""


class Box(NamedTuple):
    """The type of a box, and where its content starts and ends."""

    kind: bytes
    start: int
    end: int


class Steps:
    """A limit on the boxes, entries and extents that are read in one file."""

    def __init__(self, most: int = MAX_STEPS) -> None:
        self._left = most

    def take(self, steps: int = 1) -> None:
        """Count *steps* more. Raise `Unrenderable` when the limit is exceeded."""
        self._left -= steps
        if self._left < 0:
            raise too_much_work()


def boxes(data: Bytes, at: int, end: int, steps: Steps) -> Iterator[Box]:
    """Yield the boxes between *at* and *end*."""
    while at + 8 <= end:
        steps.take()
        size, start = number(data, at, 4), at + 8
        if size == 1:
            size, start = number(data, at + 8, 8), at + 16
        last = end if size == 0 else min(end, at + size)
        yield Box(data[at + 4 : at + 8], start, last)
        if last <= at + 7:
            return
        at = last


def number(data: Bytes, at: int, size: int) -> int:
    """Return the unsigned number of *size* bytes at *at*. Bytes past the end are left out."""
    return int.from_bytes(data[at : at + size], "big")
