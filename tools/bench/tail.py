"""The latency of hits, its 99th percentile, while misses keep every renderer busy, against hits only."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.clients import Answer, connected, converse, request, succeeded
from tools.bench.instruments.figures import ratios, show, spread
from tools.bench.instruments.load import CONNECTIONS, Load, load
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import PATH, get, service, valkey

_RENDERERS = 2
_IN_FLIGHT = 8
"""Misses at any time, so many that no renderer is idle."""
_CONTACTS = range(2, 1002)
_WIDTHS = range(200, 501)
_RENDER = re.compile(rb"render;dur=([0-9.]+)")


@dataclass(slots=True)
class _Misses:
    """The number of misses, their milliseconds in the renderers, and the seconds of the load."""

    answered: int = 0
    rendering: float = 0.0
    seconds: float = 0.0
    failures: list[BaseException] = field(default_factory=list)

    def receive(self, answer: Answer) -> None:
        succeeded(answer)
        rendered = _RENDER.search(answer.header)
        assert rendered, "the answer is not a miss"
        self.answered += 1
        self.rendering += float(rendered[1])

    @property
    def busy(self) -> float:
        """The share of their time that the renderers rendered."""
        return self.rendering / 1000 / self.seconds / _RENDERERS


def run(options: Namespace) -> None:
    """Measure hits only and hits with misses in turn. Every miss is for another rendition."""
    with tempfile.TemporaryDirectory(prefix="bench-") as text, valkey() as (url, _):
        images = Path(text)
        (images / "1.jpg").write_bytes(photograph(750, 1000, grain=0.15))
        (images / "cold").write_bytes(photograph(1826, 1370))
        for contact in _CONTACTS:
            os.link(images / "cold", images / f"{contact}.jpg")
        cold = (f"/api/v1/Contact/{contact}/Image?w={width}" for width in _WIDTHS for contact in _CONTACTS)
        with service(images, cache__url=url, render__workers=str(_RENDERERS)) as ours:
            path = f"{PATH}?w=319"
            for _ in range(2):
                get(ours.port, path, ACCEPT)

            def hits() -> Load:
                return load(ours.port, [path], ACCEPT, seconds=options.seconds)

            alone: list[Load] = []
            crowded: list[Load] = []
            misses: list[_Misses] = []
            for _ in range(options.runs):
                alone.append(hits())
                with _missing(ours.port, cold) as counted:
                    crowded.append(hits())
                misses.append(counted)
    first, second = ([each.p99 for each in loads] for loads in (alone, crowded))
    rates = [f"{spread([each.rate for each in loads], 0)}" for loads in (alone, crowded)]
    crowd = f"{_IN_FLIGHT} misses in flight for {_RENDERERS} renderers"
    show(
        f"Hits over {CONNECTIONS} connections, {crowd}, {options.runs} runs",
        ("", "alone", "with misses", "with / alone", "target"),
        [
            ["99 of 100 hits within, ms", spread(first), spread(second), spread(ratios(second, first)), "≤ 3"],
            ["hits a second", *rates, spread(ratios([b.rate for b in crowded], [a.rate for a in alone])), ""],
            ["misses a second", "", spread([each.answered / each.seconds for each in misses], 0), "", ""],
            ["renderers at work", "", spread([each.busy for each in misses]), "", ""],
        ],
    )


@contextmanager
def _missing(port: int, paths: Iterator[str]) -> Iterator[_Misses]:
    """Request *paths* from another thread until the block ends."""
    misses, ended = _Misses(), threading.Event()

    def requests() -> Iterator[bytes]:
        while not ended.is_set():
            yield request(next(paths), ACCEPT)

    async def send() -> None:
        clients = await connected(port, _IN_FLIGHT)
        begun = time.perf_counter()
        await converse(clients, requests(), misses.receive)
        misses.seconds = time.perf_counter() - begun
        for client in clients:
            client.close()

    def main() -> None:
        try:
            asyncio.run(send())
        except Exception as error:  # raised where the benchmark joins this thread
            misses.failures.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    try:
        yield misses
    finally:
        ended.set()
        thread.join()
    if misses.failures:
        raise SystemExit(f"a miss failed: {misses.failures[0]}")
