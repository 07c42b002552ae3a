"""An open loop of requests, from a process of its own.

`python -m tools.bench.instruments.arrivals PORT RATE SECONDS FIRST` runs it.

Requests are sent at times that are chosen before, whether or not earlier ones have been answered, and a latency begins
at that time. RATE requests a second are for pictures of contacts from FIRST on, each of which is requested once. For
every fourth of them there is one for a picture that the service has in its memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random

from service.load.open_loop import OpenLoop
from service.load.requests import BROWSER
from service.load.scenarios import WIDTHS
from tools.bench.instruments.clients import connected, request
from tools.bench.instruments.processes import ROOT

HITS = range(1, 21)
"""Contacts whose pictures are in the memory of the service."""
_HIT_WIDTH = 200
_HIT_SHARE = 0.2
"""Share of the requests that are for a picture in memory."""
_MOST = 200_000
"""Requests of one run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer: its status (0: none), whether a hit was expected, its seconds, and those that its render took.

    *at* is when it was sent, in seconds from the beginning.
    """

    at: float
    hit: bool
    status: int
    seconds: float
    render: float


def hit_path(contact: int) -> str:
    """Return the path of a picture that is in memory."""
    return f"/api/v1/Contact/{contact}/Image?w={_HIT_WIDTH}"


def cold_path(contact: int, random: Random) -> str:
    """Return the path of a picture of *contact* in one of the `WIDTHS`."""
    return f"/api/v1/Contact/{contact}/Image?w={random.choice(WIDTHS)}"


@contextmanager
def started(port: int, rate: float, seconds: float, first: int) -> Iterator[subprocess.Popen[str]]:
    """Start the process. It prints a line when it has sent the last request, and then what `outcomes` reads."""
    command = [sys.executable, "-m", "tools.bench.instruments.arrivals", *map(str, (port, rate, seconds, first))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def outcomes(printed: str) -> list[Outcome]:
    """Return the outcomes of the requests."""
    return [Outcome(*fields) for fields in json.loads(printed)]


async def _main(port: int, rate: float, seconds: float, first: int) -> None:
    random, hits = Random(first), []

    def requests() -> Iterator[tuple[float, bytes]]:
        contact, total = first, rate / (1 - _HIT_SHARE)
        at = random.expovariate(total)
        while at < seconds and len(hits) < _MOST:
            hit = random.random() < _HIT_SHARE
            path = hit_path(random.choice(HITS)) if hit else cold_path(contact, random)
            contact += not hit
            hits.append(hit)
            yield at, request(path, BROWSER)
            at += random.expovariate(total)

    loop = OpenLoop(partial(connected, port))
    await loop.run(requests(), sent=lambda: print("sent", flush=True))
    rows = [(each.at, hits[each.number], each.status, each.seconds, _render(each.header)) for each in loop.outcomes]
    print(json.dumps(rows))


def _render(header: bytes) -> float:
    """Return the seconds of the render, by `Server-Timing`."""
    return float(header.partition(b"render;dur=")[2].partition(b"\r")[0].partition(b",")[0] or 0) / 1000


if __name__ == "__main__":
    import uvloop

    port, rate, seconds, first = sys.argv[1:]
    uvloop.run(_main(int(port), float(rate), float(seconds), int(first)))
