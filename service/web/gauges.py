"""The gauges of a process, and counters of numbers that other objects count. `Metrics.flush` reads both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.system.processes import processor_seconds, resident

_STARTED_AT = time.time()
"""Unix time of the import of this module: in this process, or in the arbiter that has forked it."""

_Mode = Literal["livesum", "livemin", "livemax", "liveall"]
"""How the values of the processes that live become one: their sum, the least, the greatest; or a series for each."""
Name = Literal[
    "threads_hung",
    "render_queue_depth",
    "memory_cache_entries",
    "memory_cache_bytes",
    "memory_cache_limit_bytes",
    "cache_up",
    "breaker_open",
    "purges_owed",
    "processes",
    "process_resident_bytes",
    "process_cpu_seconds",
    "start_time_seconds",
]
Kind = Literal["serve", "render", "arbiter", "cache"]
"""The kinds of processes: those that serve, those that render, the arbiter of the former, the private cache server."""


class _Row(NamedTuple):
    help: str
    mode: _Mode
    labels: tuple[str, ...] = ()


_GAUGES: dict[Name, _Row] = {
    "threads_hung": _Row("Threads whose calls have not returned, as on a disk that hangs.", "livesum"),
    "render_queue_depth": _Row("Renders that wait for a process.", "livesum"),
    "memory_cache_entries": _Row("Entries in the memory cache.", "livesum"),
    "memory_cache_bytes": _Row("Bytes in the memory cache.", "livesum"),
    "memory_cache_limit_bytes": _Row("Bytes that the memory cache may have.", "livesum"),
    "cache_up": _Row("1 if the shared cache answers pings, or there is none.", "livemin"),
    "breaker_open": _Row("1 if the circuit breaker refuses calls.", "livemax", ("breaker",)),
    "purges_owed": _Row("Purges that the shared cache has not acknowledged.", "livesum"),
    "processes": _Row("Processes that run.", "livesum", ("process",)),
    "process_resident_bytes": _Row("Bytes of resident memory.", "liveall", ("process",)),
    "process_cpu_seconds": _Row("Seconds on a processor, since the start.", "liveall", ("process",)),
    "start_time_seconds": _Row("Unix time at which the service was started.", "livemax"),
}
"""By name: how the gauge is described, and how the values of several processes become one."""


class Gauges:
    """Gauges in *registry*, and the functions that return their values."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges = {
            name: Gauge(f"contact_image_{name}", row.help, row.labels, registry=registry, multiprocess_mode=row.mode)
            for name, row in _GAUGES.items()
        }
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        self._counted: list[_Total] = []
        self.watch("start_time_seconds", lambda: _STARTED_AT)

    def watch(self, name: Name, read: Callable[[], float], *labels: str) -> None:
        """Set the gauge with this *name* and these *labels* to what *read* returns, from now on."""
        gauge = self._gauges[name]
        self._watched.append((gauge.labels(*labels) if labels else gauge, read))

    def count(self, counter: Counter, read: Callable[[], int]) -> None:
        """Add to *counter*, from now on, what the number that *read* returns rises by. It never falls."""
        self._counted.append(_Total(counter, read))

    def watch_processes(self, kind: Kind, pids: Callable[[], Iterable[int]]) -> None:
        """Report the number, the memory and the processor time of the processes *pids*."""
        processes = _Processes(pids)
        self.watch("processes", lambda: len(list(pids())), kind)
        self.watch("process_resident_bytes", processes.resident, kind)
        self.watch("process_cpu_seconds", processes.seconds, kind)

    def read(self) -> None:
        """Read all values."""
        for gauge, read in self._watched:
            gauge.set(read())
        for total in self._counted:
            total.read()


class _Total:
    """A counter of a number that another object counts. Each read adds what the number has risen by."""

    def __init__(self, counter: Counter, read: Callable[[], int]) -> None:
        self._counter, self._read, self._before = counter, read, 0

    def read(self) -> None:
        now = self._read()
        self._counter.inc(now - self._before)
        self._before = now


class _Processes:
    """The processes *pids*, which come and go. Their processor time together only rises."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._by_pid: dict[int, float] = {}
        self._seconds = 0.0

    def resident(self) -> float:
        return sum(map(resident, self._pids()))

    def seconds(self) -> float:
        before, self._by_pid = self._by_pid, {pid: processor_seconds(pid) for pid in self._pids()}
        self._seconds += sum(max(0.0, now - before.get(pid, 0.0)) for pid, now in self._by_pid.items())
        return self._seconds
