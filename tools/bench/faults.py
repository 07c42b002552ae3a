"""Requests while the cache server is frozen (SIGSTOP): their latency, and the time until the cache is used again."""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import subprocess
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from tools.bench.instruments.figures import show, spread
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import HOST, PATH, get, service, valkey

_PAUSE = 0.005
"""Seconds between an answer and the next request, so that there is little load."""
_CACHE = re.compile(rb"Server-Timing: .*?\bcache;dur=([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: its start, its milliseconds, those that it waited for the cache, and whether it was a hit."""

    at: float
    took: float
    waited: float
    hit: bool


def run(options: Namespace) -> None:
    """Measure with a memory cache of one byte, so that every lookup goes to the server."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, valkey() as (url, server):
        images = Path(folder)
        (images / "1.jpg").write_bytes(photograph(240, 320))
        with service(images, cache__url=url, cache__memory_bytes="1", render__workers="1") as ours:
            get(ours.port, f"{PATH}?w=64")  # starts the render process and the connections
            recoveries, rows = [], []
            for _ in range(options.runs):
                phases, recovery = asyncio.run(_freeze_and_thaw(ours.port, server, options.seconds))
                recoveries.append(recovery)
                rows.append(phases)
    heads = ("", "requests", "p50, ms", "p99", "worst", "waited for the cache, p99", "worst", "bound")
    lines = []
    for name in rows[0]:
        samples = [sample for phases in rows for sample in phases[name]]
        lines.append([name, f"{len(samples):,}", *_figures(samples), "≤ 100"])
    show(f"Frozen for {options.seconds} s, {options.runs} times; every answer was 200", heads, lines)
    show("From the thaw to the next hit from the server", ("", "s", "bound"), [["", spread(recoveries), "≤ 2"]])


async def _freeze_and_thaw(
    port: int, server: subprocess.Popen[bytes], seconds: float
) -> tuple[dict[str, list[Sample]], float]:
    """Return the samples of each kind and phase, and the seconds from SIGCONT to the next hit."""
    samples: dict[str, list[Sample]] = {"hits": [], "misses": []}
    sizes = ((64 + n % 150, 64 + n // 150 % 250) for n in itertools.count(time.monotonic_ns() % 30_000))
    clients = [
        asyncio.create_task(_client(port, itertools.repeat("w=64"), samples["hits"])),
        asyncio.create_task(_client(port, (f"w={w}&h={h}&fit=fill" for w, h in sizes), samples["misses"])),
    ]
    try:
        await asyncio.sleep(seconds)
        frozen = time.perf_counter()
        server.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        thawed = time.perf_counter()
        server.send_signal(signal.SIGCONT)
        await asyncio.sleep(seconds)
    finally:
        for client in clients:
            client.cancel()
        results = await asyncio.gather(*clients, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    recoveries = [
        sample.at + sample.took / 1000 - thawed for sample in samples["hits"] if sample.hit and sample.at > thawed
    ]
    spans = {"before": (0.0, frozen), "while": (frozen, thawed), "after": (thawed, float("inf"))}
    return {
        f"{kind}, {phase}": [sample for sample in taken if begin <= sample.at < end]
        for kind, taken in samples.items()
        for phase, (begin, end) in spans.items()
    }, min(recoveries, default=float("inf"))


async def _client(port: int, queries: Iterator[str], samples: list[Sample]) -> None:
    """Request one picture after another, over one connection."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        for query in queries:
            begun = time.perf_counter()
            writer.write(f"GET {PATH}?{query} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            header = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", header)
            if not header.startswith(b"HTTP/1.1 200 ") or length is None:
                raise SystemExit(f"a request failed: {header.decode()}")
            await reader.readexactly(int(length[1]))
            waited = _CACHE.search(header)
            took = 1000 * (time.perf_counter() - begun)
            samples.append(Sample(begun, took, float(waited[1]) if waited else 0.0, b"contact-image; hit" in header))
            await asyncio.sleep(_PAUSE)
    finally:
        writer.close()


def _figures(samples: list[Sample]) -> list[str]:
    took, waited = [sample.took for sample in samples], [sample.waited for sample in samples]
    percentiles = quantiles(took, n=100)
    figures = percentiles[49], percentiles[98], max(took), quantiles(waited, n=100)[98], max(waited)
    return [f"{figure:.1f}" for figure in figures]
