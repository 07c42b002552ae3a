"""The load of the incidents: a folder of pictures, and requests of which some are misses."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random

import uvloop

from service.load.requests import BROWSER, Request, Schedule
from service.load.scenarios import SCENARIOS, Plan
from tools.bench.instruments.clients import Answer, connected, converse, request, request_all
from tools.bench.instruments.pictures import photograph

_CONTACTS = range(1, 401)
_ORIGINALS = 8
"""Different originals."""
_PIXELS = 600, 800
"""Width and height of an original in pixels."""
_COLD_SHARE = 0.15
"""Share of the requests that are for renditions which no cache has."""
_USED = 0.15
"""Share of the possible renders that the usual load needs."""
_CLIENTS = 4
"""Connections that fill the caches, and by which the possible renders are counted."""
_PEAK_SECONDS = 6
"""Seconds in which the possible renders are counted."""


class Pictures:
    """A folder with a picture of each contact, by links to a few files."""

    def __init__(self, parent: Path) -> None:
        self.folder, self._parent, self._changes = parent / "images", parent, 0
        self.folder.mkdir()
        for number in range(_ORIGINALS):
            (parent / f"{number}").write_bytes(photograph(*_PIXELS, seed=number))
        for contact in _CONTACTS:
            os.link(parent / f"{contact % _ORIGINALS}", self.folder / f"{contact}.jpg")

    def change(self) -> None:
        """Replace the picture of the next contact. Raise OSError if the folder is lost."""
        self._changes += 1
        new, file = self._parent / "new", self.folder / f"{self._changes % len(_CONTACTS) + 1}.jpg"
        file.stat()
        os.link(self._parent / f"{self._changes % _ORIGINALS}", new)
        os.replace(new, file)


def fill_caches(port: int) -> None:
    """Request the pictures that are hits."""
    uvloop.run(request_all(port, [each.target for each in _hits(_plan(0, 0, 0))], BROWSER, _CLIENTS))


def usual_rate(port: int) -> float:
    """Return the requests a second of the usual load, from a short measurement of the possible renders."""
    return _USED / _COLD_SHARE * uvloop.run(_peak(port))


async def _peak(port: int) -> float:
    """Return the possible renders a second: each client sends its next request when it has its picture."""
    finished, begun = 0, time.perf_counter()
    cold = SCENARIOS["misses"].schedule(_plan(1_000, _PEAK_SECONDS, seed=0))
    clients = await connected(port, _CLIENTS)

    def requests() -> Iterator[bytes]:
        for _, each in cold:
            if time.perf_counter() > begun + _PEAK_SECONDS:
                return
            yield request(each.target, BROWSER)

    def receive(answer: Answer) -> None:
        nonlocal finished
        finished += answer.status == 200

    await converse(clients, requests(), receive)
    for client in clients:
        client.close()
    return finished / (time.perf_counter() - begun)


def schedule(rate: float, seconds: float, seed: int, begin: float = 0.0) -> Schedule:
    """Return the requests of a load of *rate* requests a second for *seconds*, from *begin* on."""
    plan = _plan(rate, seconds, seed)
    cold = iter(SCENARIOS["misses"].schedule(_plan(rate, seconds, seed + 1)))
    hits = _hits(plan)
    weights = list(accumulate(1 / rank for rank in range(1, len(hits) + 1)))

    def requests() -> Iterator[Request]:
        while True:
            if plan.random.random() < _COLD_SHARE:
                yield next(cold)[1]
            else:
                yield plan.random.choices(hits, cum_weights=weights)[0]

    return [(begin + at, each) for at, each in plan.arrivals(requests())]


def _plan(rate: float, seconds: float, seed: int) -> Plan:
    return Plan("", _CONTACTS, rate, seconds, Random(seed), {})


def _hits(plan: Plan) -> list[Request]:
    return [Request(plan.picture(contact)) for contact in plan.contacts]
