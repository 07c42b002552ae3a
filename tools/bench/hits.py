"""Cached renditions of about 12 KB over 32 connections: one process of the service against a bare aiohttp handler."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tools.bench.bare import ACCEPT
from tools.bench.figures import interleaved, ratios, show, spread
from tools.bench.load import CONNECTIONS, load
from tools.bench.pictures import photograph
from tools.bench.processes import PATH, Server, get, metric, module, service, valkey

_PATH = f"{PATH}?w=319"


@dataclass(frozen=True, slots=True)
class _Variant:
    """A server, and the header fields of its requests."""

    server: Server
    headers: Mapping[str, str]
    rates: list[float] = field(default_factory=list)
    """Requests per second of every run."""
    costs: list[float] = field(default_factory=list)
    """Seconds of processor time for one request, of every run."""

    def measure(self, seconds: int) -> float:
        """Return the requests per second of one run."""
        begun = self.server.processor_seconds()
        rate = load(self.server.port, [_PATH], self.headers, seconds=seconds).rate
        self.costs.append((self.server.processor_seconds() - begun) / (rate * seconds))
        self.rates.append(rate)
        return rate


def run(options: Namespace) -> None:
    """Measure memory hits, Redis hits and 304s against equal answers of the bare handler."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, valkey() as (url, _):
        images = Path(folder)
        (images / "1.jpg").write_bytes(photograph(750, 1000, grain=0.15))
        with (
            service(images, cache__url=url, render__workers="1") as memory,
            service(images, cache__url=url, render__workers="1", cache__memory_bytes="0") as redis,
        ):
            for server in (memory, redis, redis, memory):
                _, headers, body = get(server.port, _PATH, ACCEPT)
            assert "hit" in headers["Cache-Status"], headers
            origin = str(memory.port), _PATH
            with module("bare", *origin) as bare, module("bare", *origin, "routerless") as routerless:
                unchanged = {**ACCEPT, "If-None-Match": headers["ETag"]}
                handler, its_304 = _Variant(bare, ACCEPT), _Variant(bare, unchanged)
                rows = {
                    "memory hit": (_Variant(memory, ACCEPT), handler, "≥ 0.95, aim 1.2"),
                    "304": (_Variant(memory, unchanged), its_304, "≥ 0.95"),
                    "Redis hit, memory off": (_Variant(redis, ACCEPT), handler, "≥ 0.5, aim 0.65"),
                    "(`web.Server` without application and router)": (_Variant(routerless, ACCEPT), handler, ""),
                }
                variants = [*(ours for ours, _, _ in rows.values()), handler, its_304]
                interleaved(options.runs, *(partial(each.measure, options.seconds) for each in variants))
            for server, layer in ((memory, "memory"), (redis, "shared")):
                hits = metric(server.port, f'contact_image_cache_total{{layer="{layer}",outcome="hit"}}')
                assert hits > 1000, f"the {layer} cache did not answer"
    table = [
        [name, *_compared(ours, theirs), target, _effort(ours, theirs)] for name, (ours, theirs, target) in rows.items()
    ]
    show(
        f"{headers['Content-Type']}, {len(body):,} bytes, {CONNECTIONS} connections, {options.runs} runs",
        ("hit", "ours, req/s", "bare handler, req/s", "ours / bare", "target", "by processor time"),
        table,
    )


def _compared(ours: _Variant, theirs: _Variant) -> list[str]:
    return [spread(ours.rates, 0), spread(theirs.rates, 0), spread(ratios(ours.rates, theirs.rates))]


def _effort(ours: _Variant, theirs: _Variant) -> str:
    """Return the ratio of processor time, which is steadier on a busy machine, or nothing where it is not known."""
    return spread(ratios(theirs.costs, ours.costs)) if all(ours.costs) else ""
