"""Admission by time: an order is accepted if its render can begin soon, by the orders before it and their costs."""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

from service.errors import Overloaded
from service.formats import Format
from service.pictures.ports import FULL
from service.pictures.trace import Trace
from service.rendering.costs import Costs

_ACCEPTED = 0.8
"""Share of the limit up to which an order may be expected to wait, since costs are estimates."""
_LATE = 1.15
"""Times the limit after which an accepted order is refused that has not begun."""
_CELLS = 512
"""Processes that can share a file, twice as many as one service has. The file is a page of memory."""
_CELL_BYTES = 8
_LOOK = 0.1
"""Seconds between two looks for processes that have died."""


class Admission:
    """Accepts orders whose render can begin within *queue_timeout* seconds, as far as *costs* can tell.

    The orders are rendered by *renderers* processes. Until one of them is *ready*, orders may wait for *start_timeout*
    seconds. With *shared*, the orders of the other processes come before a new one, too: all share *slots* renderers.
    """

    def __init__(
        self,
        costs: Costs,
        *,
        renderers: int,
        queue_timeout: float,
        start_timeout: float,
        ready: Callable[[], object],
        shared: SharedWork | None = None,
        slots: int = 0,
    ) -> None:
        self._costs, self._renderers = costs, renderers
        self._queue_timeout, self._start_timeout, self._ready = queue_timeout, max(queue_timeout, start_timeout), ready
        self._shared, self._slots = shared, slots
        self._unfinished: dict[Format | None, _Sum] = {}

    @property
    def full(self) -> bool:
        """Whether a new order could not begin in time."""
        return self._wait() >= _ACCEPTED * self._limit()

    def require(self) -> None:
        """Raise `Overloaded` if a new order could not begin in time."""
        if self.full:
            raise Overloaded(FULL, seconds=math.ceil(self._wait()))

    def count(self, trace: Trace, format: Format | None = None, pixels: int = 0) -> CountedOrder:
        """Return a `with` block that counts an order as unfinished, and measures its render by *trace*.

        Without *format* its cost is that of a usual render.
        """
        return CountedOrder(self, trace, format, pixels)

    def begin_by(self) -> float:
        """Return the monotonic seconds at which an order that is accepted now is refused if it has not begun."""
        return time.monotonic() + _LATE * self._limit()

    def counted_pixels(self, format: Format | None, pixels: int) -> int:
        """Return the pixels that an order of that many *pixels* counts for.

        A long order keeps one renderer from all other orders, and no more than one.
        """
        cost, most = self._costs.expected(format, pixels), _ACCEPTED * self._limit()
        return pixels if cost <= most else int(pixels * most / cost)

    def change(self, format: Format | None, count: int, pixels: int) -> None:
        """Add to the unfinished orders in *format*."""
        unfinished = self._unfinished.setdefault(format, _Sum())
        unfinished.count += count
        unfinished.pixels += pixels
        if self._shared is not None:
            self._shared.set(self._seconds())

    def rendered(self, format: Format | None, pixels: int, seconds: float) -> None:
        """Learn from a render that took *seconds*."""
        if format is not None:
            self._costs.add(format, pixels, seconds)

    def close(self) -> None:
        """Close the shared file."""
        if self._shared is not None:
            self._shared.close()

    def _wait(self) -> float:
        """Return the seconds until a new order could begin."""
        wait = self._seconds() / self._renderers
        return wait if self._shared is None else max(wait, self._shared.total() / self._slots)

    def _seconds(self) -> float:
        """Return the seconds of the renders that this process has not finished."""
        return sum(self._costs.expected(format, of.pixels, of.count) for format, of in self._unfinished.items())

    def _limit(self) -> float:
        return self._queue_timeout if self._ready() else self._start_timeout


class CountedOrder:
    """An order that is counted as unfinished in its `with` block. See `Admission.count`."""

    def __init__(self, admission: Admission, trace: Trace, format: Format | None, pixels: int) -> None:
        self._admission, self._trace, self._format, self._pixels = admission, trace, format, pixels
        self._counted: int | None = None

    def __enter__(self) -> CountedOrder:
        self._rendered_before = self._rendered()
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()
        if (seconds := self._rendered() - self._rendered_before) > 0:
            self._admission.rendered(self._format, self._pixels, seconds)

    def pause(self) -> None:
        """Do not count this order for now: another process renders it."""
        if self._counted is not None:
            self._admission.change(self._format, -1, -self._counted)
            self._counted = None

    def resume(self) -> None:
        """Count this order, if it is not counted, and give it a time by which its render must begin."""
        self._trace.begin_by = self._admission.begin_by()
        if self._counted is None:
            self._counted = self._admission.counted_pixels(self._format, self._pixels)
            self._admission.change(self._format, 1, self._counted)

    def _rendered(self) -> float:
        return self._trace.seconds.get("render", 0.0)


class _Sum:
    """The number of some orders, and their pixels together."""

    def __init__(self) -> None:
        self.count = self.pixels = 0


class SharedWork:
    """The seconds of unfinished orders of several processes, in *file*, which they map into their memory.

    Each process writes one cell and locks it, so that the others see when it is dead. A process opens the file once,
    since it loses its locks when it closes any descriptor of it.
    """

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, _CELLS * _CELL_BYTES)
        self._map = mmap.mmap(self._file, _CELLS * _CELL_BYTES)
        self._cells = memoryview(self._map).cast("d")
        self._own = next(cell for cell in range(_CELLS) if self._lock(cell))
        self._looked_at = -math.inf
        self.set(0.0)

    def set(self, seconds: float) -> None:
        """Set the seconds of this process."""
        self._cells[self._own] = seconds

    def total(self) -> float:
        """Return the seconds of all processes that are alive."""
        if (now := time.monotonic()) >= self._looked_at + _LOOK:
            self._looked_at = now
            self._forget_dead()
        return math.fsum(self._cells)

    def close(self) -> None:
        """Unmap and close the file. This process counts no more."""
        self.set(0.0)
        self._cells.release()
        self._map.close()
        os.close(self._file)

    def _forget_dead(self) -> None:
        for cell, seconds in enumerate(self._cells):
            if seconds and cell != self._own and self._lock(cell):
                self._cells[cell] = 0.0
                fcntl.lockf(self._file, fcntl.LOCK_UN, _CELL_BYTES, cell * _CELL_BYTES)

    def _lock(self, cell: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _CELL_BYTES, cell * _CELL_BYTES)
        except (BlockingIOError, PermissionError):  # by the system
            return False
        return True
