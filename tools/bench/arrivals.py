"""An open loop of requests, from a process of its own: `python -m tools.bench.arrivals PORT RATE SECONDS FIRST`.

Requests are sent at times that are chosen before, whether or not earlier ones have been answered, and a latency begins
at that time. RATE requests a second are for pictures of contacts from FIRST on, each of which is requested once. For
every fourth of them there is one for a picture that the service has in its memory.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from random import Random

from tools.bench.clients import Answer, Client, connected, request
from tools.bench.processes import ROOT

HITS = range(1, 21)
"""Contacts whose pictures are in the memory of the service."""
WIDTHS = (64, 128, 200, 320, 480, 640, 1024, 1600)
ACCEPT = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}
"""The Accept field of browsers, which get AVIF."""
_HIT_WIDTH = 200
_HIT_SHARE = 0.2
"""Share of the requests that are for a picture in memory."""
_CONNECTIONS = 128
"""Connections at the beginning. Another one is opened for a request that finds none idle."""
_MAX_CONNECTIONS = 3000
_LAST_ANSWERS = 20.0
"""Seconds to wait for the last answers."""
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
    command = [sys.executable, "-m", "tools.bench.arrivals", *map(str, (port, rate, seconds, first))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def outcomes(printed: str) -> list[Outcome]:
    """Return the outcomes of the requests."""
    return [Outcome(*fields) for fields in json.loads(printed)]


class _Loop:
    """The connections, and the outcomes so far."""

    def __init__(self, port: int, clients: list[Client]) -> None:
        self._port, self._idle, self._count = port, clients, len(clients)
        self.begun = time.perf_counter()
        self.outcomes: list[Outcome] = []
        self.pending: set[asyncio.Task[None]] = set()

    def send(self, sent: bytes, scheduled: float, *, hit: bool) -> None:
        task = asyncio.create_task(self._send(sent, scheduled, hit))
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)

    async def _send(self, sent: bytes, scheduled: float, hit: bool) -> None:
        status, render = 0, 0.0

        def receive(answer: Answer) -> None:
            nonlocal status, render
            status, render = answer.status, _render_seconds(answer.header)

        try:
            while self._idle and self._idle[-1].closed:
                self._idle.pop()
                self._count -= 1
            if not self._idle and self._count < _MAX_CONNECTIONS:
                self._count += 1
                self._idle += await connected(self._port, 1)
            client = self._idle.pop()
            await client.converse(iter((sent,)), receive)
            self._idle.append(client)
        except (OSError, IndexError, TimeoutError):
            status = 0
        self.outcomes.append(Outcome(scheduled - self.begun, hit, status, time.perf_counter() - scheduled, render))


def _render_seconds(header: bytes) -> float:
    """Return the seconds of the render, by `Server-Timing`."""
    return float(header.partition(b"render;dur=")[2].partition(b"\r")[0].partition(b",")[0] or 0) / 1000


async def _main(port: int, rate: float, seconds: float, first: int) -> None:
    random = Random(first)
    loop = _Loop(port, await connected(port, _CONNECTIONS))
    total = rate / (1 - _HIT_SHARE)
    at = loop.begun
    for _ in range(_MOST):
        at += random.expovariate(total)
        if at > loop.begun + seconds:
            break
        if (early := at - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        hit = random.random() < _HIT_SHARE
        path = hit_path(random.choice(HITS)) if hit else cold_path(first, random)
        first += not hit
        loop.send(request(path, ACCEPT), at, hit=hit)
    print("sent", flush=True)
    if loop.pending:
        await asyncio.wait(loop.pending, timeout=_LAST_ANSWERS)
    unanswered = [Outcome(0.0, False, 0, _LAST_ANSWERS, 0.0)] * len(loop.pending)
    rows = [astuple(each) for each in (*loop.outcomes, *unanswered)]
    print(json.dumps(rows))


if __name__ == "__main__":
    import uvloop

    port, rate, seconds, first = sys.argv[1:]
    uvloop.run(_main(int(port), float(rate), float(seconds), int(first)))
