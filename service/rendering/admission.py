"""Admission by time: an order is accepted if its render can begin soon, by the orders before it and their costs."""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from service.errors import Overloaded
from service.formats import Format
from service.pictures.ports import FULL
from service.pictures.trace import Trace
from service.rendering.costs import Costs
from service.rendering.fairness import Group, group_of

Key = TypeVar("Key")

_ACCEPTED = 0.8
"""Share of the limit up to which an order may be expected to wait, since costs are estimates."""
_LATE = 1.15
"""Times the limit after which an accepted order is refused that has not begun."""
_CELLS = 512
"""Processes that can share a file, twice as many as one service has. The file is a page of memory."""
_CELL_BYTES = 8
_LOOK = 0.1
"""Seconds between two looks for processes that have died."""
_LOOK_AT_ORDERS = 0.01
"""Seconds between two looks for orders whose clients have left."""


class Admission:
    """Accepts orders whose render can begin within *queue_timeout* seconds, as far as *costs* can tell.

    At most *queue* orders wait, as far as their clients share turns. The orders are rendered by *renderers* processes.
    Until one of them is *ready*, orders may wait for *start_timeout* seconds. With *shared*, the orders of the other
    processes come before a new one, too: all share *slots* renderers.
    """

    def __init__(
        self,
        costs: Costs,
        *,
        renderers: int,
        queue: int,
        queue_timeout: float,
        start_timeout: float,
        ready: Callable[[], object],
        shared: SharedWork | None = None,
        slots: int = 0,
    ) -> None:
        self._costs, self._renderers = costs, renderers
        self._most_orders = queue + renderers + 1  # besides those that wait, some are rendered, and one is read
        self._queue_timeout, self._start_timeout, self._ready = queue_timeout, max(queue_timeout, start_timeout), ready
        self._shared, self._slots = shared, slots
        self._by_format: _Sums[Format | None] = _Sums()
        self._by_group: _Sums[Group] = _Sums()
        self._orders: set[CountedOrder] = set()
        self._looked_at = -math.inf

    def refuses(self, trace: Trace) -> bool:
        """Return whether the order of a new request, of which *trace* is the record, could not begin in time."""
        return self._too_long(trace) is not None

    def require(self, trace: Trace) -> None:
        """Raise `Overloaded` if `refuses` is true."""
        if (wait := self._too_long(trace)) is not None:
            raise Overloaded(FULL, seconds=math.ceil(wait))

    def count(self, trace: Trace, format: Format | None = None, pixels: int = 0) -> CountedOrder:
        """Return a `with` block that counts the order of a request as unfinished.

        Without *format* or *pixels* its cost is that of a usual render.
        """
        return CountedOrder(self, trace, format, pixels)

    def add(self, order: CountedOrder) -> None:
        """Count *order*, and set the time at which it is refused if it has not begun."""
        limit = self._limit()
        order.trace.begin_by = time.monotonic() + _LATE * limit
        seconds, most = self._costs.expected(order.format, order.pixels), _ACCEPTED * limit
        if seconds > most:  # it keeps one renderer from all others, and no more than one
            seconds, order.pixels = most, int(order.pixels * most / seconds)
        order.seconds = max(seconds, self._least_seconds(limit))
        self._orders.add(order)
        self._by_format.change(order.format, 1, order)
        self._by_group.change(order.group, 1, order)
        self._tell_others()

    def remove(self, order: CountedOrder) -> None:
        """Count *order* no more."""
        self._orders.discard(order)
        self._by_format.change(order.format, -1, order)
        self._by_group.change(order.group, -1, order)
        self._tell_others()

    def close(self) -> None:
        """Close the shared file."""
        if self._shared is not None:
            self._shared.close()

    def _too_long(self, trace: Trace) -> float | None:
        """Return the seconds that the order of a new request would wait, if they are too many."""
        limit = self._limit()
        most = _ACCEPTED * limit
        if self._shared is None and self._seconds(limit) < most * self._renderers:
            return None  # turns could only shorten the wait
        if (wait := self._wait(trace, limit)) < most:
            return None
        if (now := time.monotonic()) >= self._looked_at + _LOOK_AT_ORDERS:
            self._looked_at = now
            self._forget_abandoned()
            wait = self._wait(trace, limit)
        return wait if wait >= most else None

    def _forget_abandoned(self) -> None:
        """Do not count renders whose clients have left, nor orders whose clients may have: they yield to all others."""
        for order in list(self._orders):
            demand = order.trace.demand
            client = demand or order.trace.client
            if (demand is not None and demand.abandoned) or (client is not None and client.half_closed):
                order.pause()

    def _tell_others(self) -> None:
        if self._shared is not None:
            self._shared.set(self._seconds(self._limit()))

    def _seconds(self, limit: float) -> float:
        """Return the seconds of the renders that this process has not finished, by their present costs."""
        seconds = sum(self._costs.expected(format, of.pixels, of.count) for format, of in self._by_format.items())
        return max(seconds, len(self._orders) * self._least_seconds(limit))

    def _least_seconds(self, limit: float) -> float:
        """Return the seconds that an order counts for at least, so that the number of orders is bounded."""
        return _ACCEPTED * limit * self._renderers / self._most_orders

    def _wait(self, trace: Trace, limit: float) -> float:
        """Return the seconds until the order of a new request could begin.

        Addresses of clients take turns, so the orders of another one come before it only as far as they are no more
        than those of its own. The same is true of processes.
        """
        before, another = self._seconds(limit), max(self._costs.expected(None, 0), self._least_seconds(limit))
        counted = {group: orders.seconds for group, orders in self._by_group.items()}
        if total := sum(counted.values()):
            own = counted.get(_group(trace), 0.0)
            before *= sum(min(seconds, own + another) for seconds in counted.values()) / total
        wait = before / self._renderers
        if self._shared is None:
            return wait
        of_others = sum(min(seconds, before + another) for seconds in self._shared.others())
        return max(wait, (before + of_others) / self._slots)

    def _limit(self) -> float:
        return self._queue_timeout if self._ready() else self._start_timeout


class CountedOrder:
    """An order that is counted as unfinished in its `with` block. See `Admission.count`."""

    def __init__(self, admission: Admission, trace: Trace, format: Format | None, pixels: int) -> None:
        self._admission, self.trace = admission, trace
        self.format, self.pixels = format if pixels else None, pixels
        self.group, self.seconds = _group(trace), 0.0
        self._counted = False

    def __enter__(self) -> CountedOrder:
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def pause(self) -> None:
        """Do not count this order for now: another process renders it."""
        if self._counted:
            self._admission.remove(self)
        self._counted = False

    def resume(self) -> None:
        """Count this order, and give it a new time at which it is refused if it has not begun."""
        self.pause()
        self._admission.add(self)
        self._counted = True


class _Sum:
    """The number of some orders, their pixels together, and the seconds that were expected when they were added."""

    def __init__(self) -> None:
        self.count, self.pixels, self.seconds = 0, 0, 0.0


class _Sums(dict[Key, _Sum]):
    """The sums of the orders that have a key in common."""

    def change(self, key: Key, by: int, order: CountedOrder) -> None:
        """Add *order* (*by* is 1) or subtract it (-1)."""
        if (changed := self.get(key)) is None:
            changed = self[key] = _Sum()
        changed.count += by
        changed.pixels += by * order.pixels
        changed.seconds += by * order.seconds
        if not changed.count:
            del self[key]


def _group(trace: Trace) -> Group:
    """Return the group of the orders with which that of a request shares turns, as in `fairness`."""
    (address, *_) = trace.client.addresses if trace.client is not None else (None,)
    return group_of(address, trace.owner)


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

    def others(self) -> list[float]:
        """Return the seconds of each other process that is alive and has any."""
        if (now := time.monotonic()) >= self._looked_at + _LOOK:
            self._looked_at = now
            self._forget_dead()
        return [seconds for cell, seconds in enumerate(self._cells) if seconds and cell != self._own]

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
