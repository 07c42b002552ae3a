"""Cached renditions of about 12 KB over 32 connections: one process of the service against a bare aiohttp handler."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from functools import partial
from pathlib import Path

from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.figures import interleaved, show, spread
from tools.bench.instruments.load import CONNECTIONS, measured
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import PATH, get, metric, module, service, valkey

_PATH = f"{PATH}?w=319"


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
                handler, its_304 = measured(bare, ACCEPT), measured(bare, unchanged)
                rows = {
                    "memory hit": (measured(memory, ACCEPT), handler, "≥ 1.2, aim 1.4"),
                    "304": (measured(memory, unchanged), its_304, "≥ 1.1, aim 1.3"),
                    "Redis hit, memory off": (measured(redis, ACCEPT), handler, "≥ 0.55, aim 0.65"),
                    "(`web.Server` without application and router)": (measured(routerless, ACCEPT), handler, ""),
                }
                variants = [*(ours for ours, _, _ in rows.values()), handler, its_304]
                interleaved(options.runs, *(partial(each.measure, [_PATH], options.seconds) for each in variants))
            for server, layer in ((memory, "memory"), (redis, "shared")):
                hits = metric(server.port, f'contact_image_cache_total{{layer="{layer}",outcome="hit"}}')
                assert hits > 1000, f"the {layer} cache did not answer"
    table = [
        [name, spread(ours.rates, 0), spread(theirs.rates, 0), *ours.compared(theirs), target]
        for name, (ours, theirs, target) in rows.items()
    ]
    show(
        f"{headers['Content-Type']}, {len(body):,} bytes, {CONNECTIONS} connections, {options.runs} runs",
        ("hit", "ours, req/s", "bare handler, req/s", "ours / bare", "by processor time", "target"),
        table,
    )
