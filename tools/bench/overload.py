"""Ten and fifty times the orders that the service can render, in an open loop, with hits among them.

The peak is measured first: renders a second of pictures that no cache has, in a closed loop.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import quantiles
from threading import Event, Thread

import uvloop

from service.load.requests import BROWSER
from tools.bench.instruments.arrivals import HITS, Outcome, cold_path, hit_path, outcomes, started
from tools.bench.instruments.clients import Answer, connected, converse, request
from tools.bench.instruments.figures import show
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import Server, get, service

_SIZES = (3264, 2448), (4000, 3000), (3000, 4000), (4608, 3456)
"""Pixels of the originals: 8, 12, 12 and 16 megapixels."""
_GOALS = {10: 0.8, 50: 0.6}
"""Times the peak, and the share of the peak that is to be rendered then."""
_CLIENTS = 4
"""Clients of the closed loop, so that every render process has a next order."""
_PEAK_SECONDS = 20
_LATE = 1.0
"""Seconds after which a refused order is one that was accepted and did not begin in time."""
_REST = 10
"""Seconds from the end of the load to the last look at the memory."""
_RECOVERY = 30.0
"""Seconds to wait for a picture after the load."""
_MIB = 1_048_576


@dataclass(slots=True)
class _Resident:
    """Resident MiB of the process that serves: before the load, the most, and the last."""

    before: float
    most: float
    last: float


def run(options: Namespace) -> None:
    """Send the load for `--load-seconds` each."""
    seconds = options.load_seconds
    with tempfile.TemporaryDirectory(prefix="bench-") as text, open(f"{text}/log", "wb") as log:
        contacts = _Contacts(Path(text))
        with service(contacts.folder, log=log, log__level="INFO", images__watch="false") as server:
            for contact in HITS:
                contacts.add(contact)
                get(server.port, hit_path(contact), BROWSER)
            rows = [_overload(server, contacts, times, seconds) for times in _GOALS]
    heads = ("", *(f"{times} times the peak" for times in _GOALS), "goal")
    title = f"The peak with {_CLIENTS} clients, then {seconds} s of load in an open loop"
    show(title, heads, [[name, *values, goal] for (name, goal), *values in zip(_LINES, *rows, strict=True)])


class _Contacts:
    """A folder with pictures of contacts, by links to a few files."""

    def __init__(self, parent: Path) -> None:
        self.folder, self._parent, self._next = parent / "images", parent, itertools.count(1000)
        self.folder.mkdir()
        for at, size in enumerate(_SIZES):
            (parent / f"{at}").write_bytes(photograph(*size, seed=at))

    def add(self, contact: int) -> None:
        os.link(self._parent / f"{contact % len(_SIZES)}", self.folder / f"{contact}.jpg")

    def new(self, count: int = 1) -> int:
        """Add *count* contacts, and return the first one."""
        added = list(itertools.islice(self._next, count))
        for contact in added:
            self.add(contact)
        return added[0]


async def _peak(port: int, contacts: _Contacts, seconds: float) -> float:
    """Return the renders a second while each of some clients waits for its render."""
    random, finished = Random(0), 0
    clients = await connected(port, _CLIENTS)

    def requests(until: float) -> Iterator[bytes]:
        while time.perf_counter() < until:
            yield request(cold_path(contacts.new(), random), BROWSER)

    def receive(answer: Answer) -> None:
        nonlocal finished
        finished += answer.status == 200  # on a slow machine some are refused

    await converse(clients, requests(time.perf_counter() + seconds / 4), receive)  # until all processes have started
    finished, begun = 0, time.perf_counter()
    await converse(clients, requests(begun + seconds), receive)
    for client in clients:
        client.close()
    return finished / (time.perf_counter() - begun)


def _overload(server: Server, contacts: _Contacts, times: int, seconds: int) -> list[str]:
    """Measure the peak, send *times* as many orders, and return the values of `_LINES`."""
    peak = uvloop.run(_peak(server.port, contacts, min(_PEAK_SECONDS, seconds)))
    count = int(1.2 * times * peak * seconds) + 100
    first = contacts.new(count)
    with _resident(server) as resident, started(server.port, times * peak, seconds, first) as load:
        assert load.stdout is not None
        load.stdout.readline()  # when the last request is sent
        recovered = _until_rendered(server.port, contacts)
        sent = outcomes(load.stdout.read())
        time.sleep(_REST)
    assert sum(not each.hit for each in sent) < count
    return _values(sent, peak, times, seconds, recovered, resident)


def _until_rendered(port: int, contacts: _Contacts) -> float:
    """Return the seconds until a picture that no cache has is answered."""
    begun, random = time.perf_counter(), Random(0)
    while time.perf_counter() < begun + _RECOVERY:
        if get(port, cold_path(contacts.new(), random), BROWSER)[0] == 200:
            return time.perf_counter() - begun
        time.sleep(0.05)
    return float("inf")


@contextmanager
def _resident(server: Server) -> Iterator[_Resident]:
    """Observe the memory of *server* in a thread."""
    now = server.resident_bytes() / _MIB
    resident, ended = _Resident(now, now, now), Event()

    def look() -> None:
        while not ended.wait(0.25):
            resident.last = server.resident_bytes() / _MIB
            resident.most = max(resident.most, resident.last)

    thread = Thread(target=look)
    thread.start()
    try:
        yield resident
    finally:
        ended.set()
        thread.join()


_LINES = (
    ("peak, renders a second", ""),
    ("requests sent a second, with hits", ""),
    ("orders answered with 200 a second", ""),
    ("of the peak", " and ".join(f"≥ {goal}" for goal in _GOALS.values())),
    ("refused at once: p50, ms", ""),
    ("p99", "≤ 100"),
    ("longest", ""),
    ("refused late, of all orders", ""),
    ("p99 of all refusals, ms", "≤ 100"),
    ("longest 200, s", ""),
    ("longest 200 without its render, s", "≤ 3.5"),
    ("hits", ""),
    ("not 200", "0"),
    ("p99, ms", ""),
    ("other statuses, and no answer", "0"),
    ("resident before, at most, after, MiB", ""),
    ("cold GET is 200 after the end, s", "≤ 3"),
)
"""The names of the figures, and their goals."""


def _values(
    sent: list[Outcome], peak: float, times: int, seconds: int, recovered: float, resident: _Resident
) -> list[str]:
    hits, orders = [each for each in sent if each.hit], [each for each in sent if not each.hit]
    done = [each for each in orders if each.status == 200]
    refused = [each.seconds for each in orders if each.status == 503]
    at_once = [each for each in refused if each < _LATE]
    odd = [each for each in orders if each.status not in (200, 503)]
    rate = sum(each.at + each.seconds <= seconds for each in done) / seconds
    return [
        f"{peak:.1f}",
        f"{len(sent) / seconds:.0f}",
        f"{rate:.1f}",
        f"{rate / peak:.2f}",
        _milliseconds(at_once, 50),
        _milliseconds(at_once, 99),
        _milliseconds(at_once, 100),
        f"{(len(refused) - len(at_once)) / len(orders):.2%}",
        _milliseconds(refused, 99),
        f"{max((each.seconds for each in done), default=0):.1f}",
        f"{max((each.seconds - each.render for each in done), default=0):.1f}",
        f"{len(hits):,}",
        f"{sum(each.status != 200 for each in hits)}",
        _milliseconds([each.seconds for each in hits], 99),
        f"{len(odd)}",
        f"{resident.before:.0f}, {resident.most:.0f}, {resident.last:.0f}",
        f"{recovered:.1f}",
    ]


def _milliseconds(seconds: list[float], percentile: int) -> str:
    if len(seconds) < 2:
        return "—"
    value = max(seconds) if percentile == 100 else quantiles(seconds, n=100)[percentile - 1]
    return f"{1000 * value:.1f}"
