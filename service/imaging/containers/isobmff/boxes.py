"""Boxes of the ISO base media file format (ISO/IEC 14496-12, section 4.2), in bounded steps. Knows no meanings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from service.imaging.containers.window import Bytes
from service.imaging.failures import too_much_work

MAX_STEPS = 20_000
"""Boxes, entries and extents that are looked at. A grid of 50 megapixels in tiles of 256 has 800 of each."""


class Box(NamedTuple):
    """A box's type, and where its content starts and ends."""

    kind: bytes
    start: int
    end: int


class Steps:
    """How much has been looked at, over the whole file."""

    def __init__(self, most: int = MAX_STEPS) -> None:
        self._left = most

    def take(self, steps: int = 1) -> None:
        """Count *steps* more. Raises `Unrenderable` when there were too many."""
        self._left -= steps
        if self._left < 0:
            raise too_much_work()


def boxes(data: Bytes, at: int, end: int, steps: Steps) -> Iterator[Box]:
    """The boxes between *at* and *end*, one after the other."""
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
    """The unsigned number of *size* bytes at *at*; bytes past the end are left out."""
    return int.from_bytes(data[at : at + size], "big")
