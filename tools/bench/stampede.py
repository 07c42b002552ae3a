"""A thousand identical cold requests at once, over two processes that share one cache server.

Their time is compared with that of one render and a thousand memory hits over the same connections. The renders are
counted.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import uvloop

from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.clients import Answer, Client, connected, converse, request, succeeded
from tools.bench.instruments.figures import ratios, show, spread
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import metric, service, valkey

_PATH = "/api/v1/Contact/{}/Image?w=319"
_REQUESTS = 1000
_FLUSHED = 1.5
"""Seconds after which every process has written its counts for the others to show."""
_FILES = 1024
"""File descriptors that this process needs in addition to its connections."""


@dataclass(frozen=True, slots=True)
class _Round:
    """Milliseconds of a single render, of the stampede and of as many hits; its renders and distinct bodies."""

    alone: float
    stampede: float
    hits: float
    renders: int
    bodies: int


def run(options: Namespace) -> None:
    """Measure rounds with contacts of their own, so that no cache has them."""
    allow_connections(_REQUESTS)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as text:
        images, contacts = Path(text), count(1)
        (images / "original").write_bytes(photograph(1826, 1370))
        for contact in range(1, 4 * (options.runs + 1) + 1):
            os.link(images / "original", images / f"{contact}.jpg")
        for name, processes in _FLEETS.items():
            with processes(images) as ports:
                rounds = uvloop.run(_rounds(ports, contacts, options.runs))
            expected = [each.alone + each.hits for each in rounds]
            rows.append([
                name, spread([each.alone for each in rounds], 0), spread([each.hits for each in rounds], 0),
                spread([each.stampede for each in rounds], 0),
                spread(ratios([each.stampede for each in rounds], expected)), "≤ 1.5",
                f"{max(each.renders for each in rounds)}", f"{max(each.bodies for each in rounds)}",
            ])  # fmt: skip
    heads = ("two processes", "one render, ms", f"{_REQUESTS:,} hits, ms", "stampede, ms",
             "stampede / (render + hits)", "target", "renders, at most", "different answers")  # fmt: skip
    show(f"{_REQUESTS:,} identical cold requests at once, {options.runs} rounds", heads, rows)


def allow_connections(count: int) -> None:
    """Let this process have *count* connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + _FILES, most), most))


@contextmanager
def _two_services(images: Path) -> Iterator[tuple[int, ...]]:
    with valkey() as (url, _), ExitStack() as stack:
        servers = [stack.enter_context(service(images, cache__url=url, render__workers="1")) for _ in range(2)]
        yield tuple(each.port for each in servers)


@contextmanager
def _two_workers(images: Path) -> Iterator[tuple[int, ...]]:
    with valkey() as (url, _), service(images, cache__url=url, server__workers="2", render__workers="2") as server:
        yield (server.port,)


_FLEETS = {"two services on two ports": _two_services, "`serve --workers 2` on one port": _two_workers}


async def _rounds(ports: tuple[int, ...], contacts: Iterator[int], runs: int) -> list[_Round]:
    clients = [each for port in ports for each in await connected(port, _REQUESTS // len(ports))]
    await _round(ports, clients, next(contacts), next(contacts))  # so that all processes have started
    rounds = [await _round(ports, clients, next(contacts), next(contacts)) for _ in range(runs)]
    for client in clients:
        client.close()
    return rounds


async def _round(ports: tuple[int, ...], clients: list[Client], lone: int, crowded: int) -> _Round:
    """Request *lone* by one client, and *crowded* by all *clients*."""
    alone, _ = await at_once(clients[:1], _PATH.format(lone))
    before, path = await renders(ports), _PATH.format(crowded)
    stampede, answers = await at_once(clients, path)
    rendered = await renders(ports) - before
    await at_once(clients, path)  # then every process has it in memory
    hits, hit_answers = await at_once(clients, path)
    assert all(b"contact-image; hit" in each.header for each in hit_answers)
    bodies = len({each.body for each in (*answers, *hit_answers)})
    return _Round(1000 * alone, 1000 * stampede, 1000 * hits, rendered, bodies)


async def at_once(clients: list[Client], path: str) -> tuple[float, list[Answer]]:
    """Request *path* by every one of *clients* at once. Return the seconds until the last answer, and the answers."""
    answers: list[Answer] = []

    def receive(answer: Answer) -> None:
        succeeded(answer)
        answers.append(answer)

    requests = [request(path, ACCEPT)] * len(clients)
    begun = time.perf_counter()
    await converse(clients, iter(requests), receive)
    took = time.perf_counter() - begun
    assert len(answers) == len(clients)
    return took, answers


async def renders(ports: tuple[int, ...]) -> int:
    """Return the number of renders that the fleet has started, once all its processes have written their counts."""
    await asyncio.sleep(_FLUSHED)
    counts = [await asyncio.to_thread(metric, port, "contact_image_renders_started_total") for port in ports]
    return int(sum(counts))
