"""The jobs of `compare`. Each gives all programs the same requests in turns, and returns rows of figures."""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Literal

import uvloop

from service.load.clients import Answer, Client
from service.load.figures import Effort, Figures, figures, kept, percentile
from service.load.open_loop import OpenLoop
from service.load.scenarios import SCENARIOS, WIDTHS
from tools.bench.comparison.answers import WIDTH, picture
from tools.bench.comparison.programs import CACHED, ORIGINALS, OURS, STARTS, Program
from tools.bench.comparison.tables import Row
from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.clients import connected, request, request_all
from tools.bench.instruments.figures import interleaved
from tools.bench.instruments.load import CONNECTIONS, Measured
from tools.bench.instruments.processes import get, processor_seconds, proportional_bytes, read_bytes
from tools.bench.instruments.seeding import zipf
from tools.bench.stampede import allow_connections, at_once, renders

_MISS_WIDTHS = range(200, 501, 20)
_MISS_CONNECTIONS = 8
_MISSES = {("2.5 MP", "jpeg"): 400, ("12 MP", "jpeg"): 200, ("2.5 MP", "avif"): 200}
"""Originals, types, and renditions a second that no program makes of them."""
_SIZES = range(32, 612, 30)
"""Pixels of the twenty widths of one picture."""
_CROWD, _CROWD_WIDTH = 500, 64
"""Requests of a stampede, and the pixels of their width."""
_RATE = 300
"""Cached pictures a second of the open loop."""
_SPARE = 1.25
"""Times that rate which a program must reach to get it."""
_COLD_RATE = 40
"""Requests a second of the open loop that begins with cold caches."""
_COLD_CONTACTS = 100
_COLD_TIMES = 2
"""Times the seconds of another run that it takes."""
_IDLE = 0.05
"""Share of a processor that an idle program takes."""
_LOOK, _SETTLED_WITHIN = 0.2, 30.0
"""Seconds between two looks at whether a program is idle, and until it has to be."""
_STARTED_WITHIN = 30.0
"""Seconds from the start of a program to its first picture."""


def contacts(options: Namespace) -> dict[str, int]:
    """Return the numbers of contacts that all jobs together need."""
    each = dict.fromkeys(ORIGINALS, _COLD_CONTACTS + 8)
    for (original, _), most in _MISSES.items():
        each[original] += most * options.seconds
    return {name: len(CACHED) + 2 + options.runs * number for name, number in each.items()}


def cached(programs: Sequence[Program], options: Namespace, loads: dict[str, Figures]) -> list[Row]:
    """Request cached pictures as fast as they come, and then at a steady rate. Put the latter into *loads*."""
    paths = {each.name: [each.target(contact, WIDTH) for contact in CACHED] for each in programs}
    for each in programs:
        for _ in range(4):  # every process gets some of them
            uvloop.run(request_all(each.port, paths[each.name], ACCEPT, _MISS_CONNECTIONS))
    rate, cost = _rates("cached pictures", programs, lambda each: paths[each.name], options)
    able = [each for each in programs if median(rate.figures[each.name]) >= _SPARE * _RATE]
    names = Random(1).choices(CACHED, k=_RATE * options.seconds)
    job = f"cached, {_RATE} a second: 99 of 100 within, ms"

    def drawn(program: Program) -> list[str]:
        return [program.target(contact, WIDTH) for contact in names]

    latency = _latency(job, able, drawn, _RATE, options.seconds, options.runs, loads)
    rates = {each.name: f"{median(rate.figures[each.name]):,.0f} a second at most" for each in programs}
    latency = replace(latency, figures={**rates, **latency.figures})
    return [rate, cost, latency]


def unchanged(programs: Sequence[Program], options: Namespace) -> list[Row]:
    """Revalidate one cached picture as fast as the answers come."""
    able, fields = [], {}
    for each in programs:
        path = each.target(CACHED[0], WIDTH)
        fields[each.name] = {**ACCEPT, "If-None-Match": picture(each, path)[0].get("etag", "-")}
        if get(each.port, path, fields[each.name])[0] == 304:
            able.append(each)
    rows = _rates("304", able, lambda each: [each.target(CACHED[0], WIDTH)], options, fields=fields)
    others = {each.name: "no 304" for each in programs}
    return [replace(row, figures={**others, **row.figures}) for row in rows]


def misses(programs: Sequence[Program], options: Namespace) -> list[Row]:
    """Request pictures that no cache has, each of another contact."""
    rows: list[Row] = []
    for (original, kind), most in _MISSES.items():
        able = [each for each in programs if each.makes(kind)]

        def paths(each: Program, original: str = original, kind: str = kind, most: int = most) -> list[str]:
            fresh = islice(each.fresh[original], most * options.seconds)
            widths = _MISS_WIDTHS
            return [each.target(contact, widths[contact % len(widths)], original, kind) for contact in fresh]

        job = f"misses, {original} to {kind.upper()}"
        found = _rates(job, able, paths, options, connections=_MISS_CONNECTIONS, digits=1)
        assert all(max(each) < most for each in found[0].figures.values()), "pictures were requested twice"
        lacking = {each.name: f"no {kind.upper()}" for each in programs}
        rows += [replace(row, figures={**lacking, **row.figures}) for row in found]
    return rows


def sizes(programs: Sequence[Program], options: Namespace) -> list[Row]:
    """Request one large picture in twenty sizes that no cache has, one after the other."""

    def measure(program: Program) -> float:
        contact = next(program.fresh["12 MP"])
        paths = [program.target(contact, width, "12 MP") for width in _SIZES]
        begun = time.perf_counter()
        uvloop.run(request_all(program.port, paths, ACCEPT, 1))
        return time.perf_counter() - begun

    return [_measured(f"{len(_SIZES)} sizes of one 12 MP picture, s", programs, measure, options.runs, 1, "less")]


def stampede(programs: Sequence[Program], options: Namespace) -> list[Row]:
    """Request a picture that no cache has many times at once, and count the renders."""
    allow_connections(_CROWD)
    counts: dict[str, list[float]] = {each.name: [] for each in programs}

    def measure(program: Program) -> float:
        took, rendered = uvloop.run(_crowd(program))
        counts[program.name].append(rendered)
        return took

    row = _measured(f"{_CROWD} identical cold requests at once, s", programs, measure, options.runs, 2, "less")
    return [row, Row("renders for them", counts, "less")]


async def _crowd(program: Program) -> tuple[float, float]:
    """Return the seconds until the last answer, and the renders.

    nginx says which answers it did not have. Otherwise the renders of other programs are the bytes that they read,
    without the answers, which a cache may read from files, by those that they read for one picture.
    """
    lone, _, _, _, crowded = islice(program.fresh["2.5 MP"], 5)  # both have the same original
    clients = await connected(program.port, _CROWD)
    _, _, one = await _read(program, clients[:1], lone)
    took, answers, read = await _read(program, clients, crowded)
    for client in clients:
        client.close()
    if b"X-Cache: " in answers[0].header:
        return took, sum(b"X-Cache: HIT" not in each.header for each in answers)
    return took, max(1, round(read / max(1, one)))


async def _read(program: Program, clients: list[Client], contact: int) -> tuple[float, list[Answer], float]:
    """Request a picture by all *clients* at once.

    Return the seconds until the last answer, the answers, and the renders (ours) or bytes that were read.
    """
    ours, path = program.name == OURS, program.target(contact, _CROWD_WIDTH)
    before = await renders((program.port,)) if ours else read_bytes(program.pids)
    took, answers = await at_once(clients, path)
    after = await renders((program.port,)) if ours else read_bytes(program.pids)
    return took, answers, after - before - (0 if ours else sum(len(each.body) for each in answers))


def cold(programs: Sequence[Program], options: Namespace, loads: dict[str, Figures]) -> list[Row]:
    """Request pictures by Zipf's law in eight widths at a steady rate, of contacts that no cache has at the beginning.

    Put the run with the median of the 99th percentile into *loads*.
    """
    seconds = _COLD_TIMES * options.seconds

    def paths(program: Program) -> list[str]:
        random, contacts = Random(1), list(islice(program.fresh["2.5 MP"], _COLD_CONTACTS))
        drawn = zipf(contacts, _COLD_RATE * seconds, random)
        return [program.target(contact, random.choice(WIDTHS)) for contact in drawn]

    job = f"cold caches, {_COLD_RATE} a second: 99 of 100 within, ms"
    return [_latency(job, programs, paths, _COLD_RATE, seconds, options.runs, loads)]


def starts(programs: Sequence[Program], images: Path, options: Namespace) -> Row:
    """Start another instance of each program, and wait for its first picture."""

    def measure(program: Program) -> float:
        begun = time.perf_counter()
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as text,
            STARTS[program.name](images, Path(text, "kept")) as another,
        ):
            while True:
                with suppress(OSError):
                    if get(another.port, another.target(CACHED[0], WIDTH), ACCEPT)[0] == 200:
                        return time.perf_counter() - begun
                if time.perf_counter() - begun > _STARTED_WITHIN:
                    raise SystemExit(f"{program.name} does not answer")
                time.sleep(0.005)

    return _measured("start to the first picture, s", programs, measure, options.runs, 2, "less")


def memory(job: str, programs: Sequence[Program]) -> Row:
    """Return the memory of all processes of each program."""
    return Row(job, {each.name: [proportional_bytes(each.pids) / 2**20] for each in programs}, "less")


def _rates(
    job: str, programs: Sequence[Program], paths: Callable[[Program], list[str]], options: Namespace, *,
    connections: int = CONNECTIONS, fields: Mapping[str, Mapping[str, str]] | None = None, digits: int = 0,
) -> tuple[Row, Row]:  # fmt: skip
    """Return the requests a second and the milliseconds of processor time for one."""
    taken = {each.name: Measured(each.port, each.pids, (fields or {}).get(each.name, ACCEPT)) for each in programs}

    def measure(program: Program) -> float:
        return taken[program.name].measure(paths(program), options.seconds, connections)

    rate = _measured(f"{job}, a second", programs, measure, options.runs, digits)
    costs = {name: [1000 * cost for cost in each.costs] for name, each in taken.items()}
    return rate, Row(f"{job}, processor time of one, ms", costs, "less", 3)


def _latency(
    job: str, programs: Sequence[Program], paths: Callable[[Program], list[str]], rate: int, seconds: int, runs: int,
    loads: dict[str, Figures],
) -> Row:  # fmt: skip
    """Request *paths* in an open loop. Put the run with the median of the 99th percentile into *loads*."""
    found: dict[str, list[Figures]] = {each.name: [] for each in programs}
    random = Random(1)
    times = sorted(random.uniform(0, seconds) for _ in range(rate * seconds))

    def measure(program: Program) -> float:
        loop = OpenLoop(partial(connected, program.port), kept)
        schedule = [(at, request(path, ACCEPT)) for at, path in zip(times, paths(program), strict=True)]
        begun, effort = time.perf_counter(), time.process_time()
        uvloop.run(loop.run(schedule))
        client = Effort(time.process_time() - effort, time.perf_counter() - begun)
        result = figures(loop.outcomes, SCENARIOS["hits"], rate, seconds, client)
        for reason in result.bottleneck():
            print(f"{program.name}, {job}: the client was a bottleneck: {reason}", file=sys.stderr)
        found[program.name].append(result)
        return _late(result)

    row = _measured(job, programs, measure, runs, 1, "less")
    loads.update({name: sorted(each, key=_late)[len(each) // 2] for name, each in found.items()})
    shares = {name: sum(each.error_share for each in results) / runs for name, results in found.items()}
    failed = {name: f"{100 * share:.1f} % failed" for name, share in shares.items() if share}
    return replace(row, figures={**row.figures, **failed})


def _late(result: Figures) -> float:
    """Return the milliseconds within which 99 of 100 requests are answered."""
    return 1000 * percentile(result.latencies, 99)


def _measured(
    job: str, programs: Sequence[Program], measure: Callable[[Program], float], runs: int, digits: int = 0,
    better: Literal["more", "less"] = "more",
) -> Row:  # fmt: skip
    """Measure the programs in turns. Each begins when the one before is idle."""

    def settled(program: Program) -> float:
        figure = measure(program)
        _settle(program)
        return figure

    taken = interleaved(runs, *(partial(settled, each) for each in programs))
    return Row(job, {each.name: figures for each, figures in zip(programs, taken, strict=True)}, better, digits)


def _settle(program: Program) -> None:
    """Wait until *program* is idle: it may still make what was requested last."""
    deadline = time.monotonic() + _SETTLED_WITHIN
    busy = processor_seconds(program.pids)
    while time.monotonic() < deadline:
        time.sleep(_LOOK)
        before, busy = busy, processor_seconds(program.pids)
        if busy - before <= _IDLE * _LOOK:
            return
