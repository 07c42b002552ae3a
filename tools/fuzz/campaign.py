"""The rendering of mutants in processes with limits on address space and time.

A mutant that ends a process, exceeds the time limit, or makes `render` raise an undocumented exception is written to a
temporary folder.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from pathlib import Path
from random import Random

from service.errors import BadParameter, Unrenderable
from service.formats import Fit, Format
from service.imaging.order import Order
from service.imaging.render import render
from tools.fuzz.mutants import mutant
from tools.fuzz.seeds import seeds

_MEMORY = 1_073_741_824
"""Bytes of address space of a process."""
_SECONDS = 5.0
"""Seconds for one mutant of a picture of 24x20 pixels, on a busy machine."""


def order(number: int) -> Order:
    """Return the order for the mutant with that *number*."""
    dice = Random(-number)
    kind = dice.choice([each for each in Format if each.writable])
    return Order(kind, dice.choice((1, 16, 48, None)), dice.choice((1, 16, None)), dice.choice(list(Fit)))


def outcome(data: bytes, number: int) -> str:
    """Return `rendered`, `refused`, or a description of the failure."""
    try:
        made = render(data, order(number))
    except (Unrenderable, BadParameter):
        return "refused"
    except BaseException as error:
        return f"raised {error!r}"
    return "rendered" if made.data else "empty"


def _work(numbers: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes to standard error
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    every = list(seeds().values())
    while True:
        number = numbers.recv()
        numbers.send((number, outcome(mutant(every[number % len(every)], number), number)))


class _Worker:
    def __init__(self, context: SpawnContext) -> None:
        self.pipe, worker_end = context.Pipe()
        self.process = context.Process(target=_work, args=(worker_end,), daemon=True)
        self.process.start()
        worker_end.close()
        self.number = -1
        self.since = 0.0

    def begin(self, number: int) -> None:
        self.number, self.since = number, time.monotonic()
        self.pipe.send(number)

    def ended(self) -> str | None:
        """Return the outcome of the current mutant, or None while it is rendered."""
        if self.pipe.poll():
            try:
                return str(self.pipe.recv()[1])
            except EOFError:
                self.process.join()
                return f"died ({self.process.exitcode})"
        return (
            f"took more than {_SECONDS} s"
            if time.monotonic() - self.since > _SECONDS + 10 * (self.number < 0)
            else None
        )


def run(minutes: float, first: int, processes: int) -> Counter[str]:
    """Render mutants from number *first* on for a number of *minutes*. Return the counts by outcome."""
    context = multiprocessing.get_context("spawn")
    counts: Counter[str] = Counter()
    every = list(seeds().items())
    found = Path(tempfile.mkdtemp(prefix="fuzz-"))
    workers = [_Worker(context) for _ in range(processes)]
    end, number = time.monotonic() + 60 * minutes, first
    for worker in workers:
        worker.begin(number)
        worker.since += 20  # to start
        number += 1
    while time.monotonic() < end:
        wait([worker.pipe for worker in workers], 0.5)
        for at, worker in enumerate(workers):
            what = worker.ended()
            if what is None:
                continue
            counts[what] += 1
            if what not in ("rendered", "refused"):
                name, seed = every[worker.number % len(every)]
                file = found / f"{worker.number}-{name.replace(' ', '-').replace(';', '')}"
                file.write_bytes(mutant(seed, worker.number))
                print(f"{worker.number} ({name}, {order(worker.number)}): {what}: {file}", flush=True)
            if what.startswith(("died", "took")):
                worker.process.kill()
                workers[at] = worker = _Worker(context)
                worker.begin(number)
                worker.since += 20
            else:
                worker.begin(number)
            number += 1
    for worker in workers:
        worker.process.kill()
    return counts
