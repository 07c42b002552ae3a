"""The processor time of the serving process for one miss, without its render processes.

Every request is for another contact.
"""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from pathlib import Path

import uvloop

from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.clients import request_all
from tools.bench.instruments.figures import show, spread
from tools.bench.instruments.photographs import originals
from tools.bench.instruments.processes import Server, metric, processor_seconds, service, valkey

_ORIGINALS = ("2.5 MP JPEG", "12 MP JPEG")
_REQUESTS = 150
"""Requests of one run."""
_CONNECTIONS = 8
_WIDTHS = range(200, 501, 20)


def run(options: Namespace) -> None:
    """Print a row for each original."""
    files, rows = originals(), []
    for name in _ORIGINALS:
        with tempfile.TemporaryDirectory(prefix="bench-") as text, valkey() as (url, cache):
            images, runs = Path(text), options.runs + 1
            (images / "0.jpg").write_bytes(files[name])
            for contact in range(1, runs * _REQUESTS + 1):
                os.link(images / "0.jpg", images / f"{contact}.jpg")
            with service(images, cache__url=url, render__workers="2", render__queue_timeout="60") as server:
                taken = [
                    _taken(server, Server(0, cache), range(n * _REQUESTS, (n + 1) * _REQUESTS)) for n in range(runs)
                ]
                renders = metric(server.port, "contact_image_renders_started_total")
                assert renders == runs * _REQUESTS, f"{renders} renders"
        rows.append([name, *(spread(each) for each in zip(*taken[1:], strict=True)), "≤ 1.5, aim 1"])
    heads = ("original", "serving process, ms", "render processes, ms", "cache server, ms", "target, serving process")
    show(f"processor time of one miss, {_CONNECTIONS} connections, {options.runs} runs of {_REQUESTS}", heads, rows)


def _taken(server: Server, cache: Server, numbers: range) -> tuple[float, ...]:
    """Return the milliseconds of processor time for one miss in each kind of process."""

    def now() -> tuple[float, float, float]:
        serving = server.processor_seconds()
        return serving, processor_seconds([server.process.pid]) - serving, cache.processor_seconds()

    paths = [f"/api/v1/Contact/{each + 1}/Image?w={_WIDTHS[each % len(_WIDTHS)]}" for each in numbers]
    before = now()
    uvloop.run(request_all(server.port, paths, ACCEPT, _CONNECTIONS))
    return tuple(1000 * (end - begin) / len(paths) for begin, end in zip(before, now(), strict=True))
