"""Cached renditions of about 12 KB over 32 connections: one process of ours against one bare aiohttp handler."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from tests.bench.bare import ACCEPT
from tests.bench.figures import interleaved, ratios, show, spread
from tests.bench.load import CONNECTIONS, load
from tests.bench.pictures import photograph
from tests.bench.processes import PATH, Server, get, module, service, valkey

_PATH = f"{PATH}?w=319"
_HEADS = ("hit", "ours, req/s", "bare handler, req/s", "ours / bare", "target", "by processor time")


def run(options: Namespace) -> None:
    """Memory hits, Redis hits and 304s, each against the same bytes and fields from the bare handler."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, valkey() as (url, _):
        images = Path(folder)
        (images / "1.jpg").write_bytes(photograph(750, 1000, grain=0.15))
        with (
            service(images, cache__url=url, render__workers="1") as memory,
            service(images, cache__url=url, render__workers="1", cache__memory_bytes="1") as redis,
        ):
            for server in (memory, redis, redis, memory):
                _, headers, body = get(server.port, _PATH, ACCEPT)
            assert "hit" in headers["Cache-Status"], headers
            with module("bare", str(memory.port), _PATH) as bare:
                unchanged = {**ACCEPT, "If-None-Match": headers["ETag"]}
                rows = [
                    _row("memory hit", "≥ 0.5", memory, bare, ACCEPT, len(body), options),
                    _row("Redis hit", "", redis, bare, ACCEPT, len(body), options),
                    _row("304", "", memory, bare, unchanged, 0, options),
                ]
            for server, layer in ((memory, "memory"), (redis, "shared")):
                assert _hits(server, layer) > 1000, f"the {layer} cache was not what answered"
    show(
        f"{headers['Content-Type']}, {len(body):,} bytes, {CONNECTIONS} connections, {options.runs} runs", _HEADS, rows
    )


def _row(
    name: str, target: str, ours: Server, bare: Server, headers: Mapping[str, str], length: int, options: Namespace
) -> list[str]:
    """One variant. The ratio of processor time per request is the steadier one where the machine has other work."""
    costs: dict[Server, list[float]] = {ours: [], bare: []}

    def rate(server: Server) -> float:
        begun = server.processor_seconds()
        answered = load(server.port, _PATH, headers, seconds=options.seconds, length=length)
        costs[server].append((server.processor_seconds() - begun) / answered)
        return answered

    theirs = interleaved(options.runs, lambda: rate(ours), lambda: rate(bare))
    effort = spread(ratios(costs[bare], costs[ours])) if all(costs[ours]) else ""
    return [name, *(spread(each, 0) for each in theirs), spread(ratios(*theirs)), target, effort]


def _hits(server: Server, layer: str) -> float:
    """How often that layer of the cache has answered, by the service's own count."""
    text = get(server.port, "/metrics")[2].decode()
    name = f'contact_image_cache_total{{layer="{layer}",outcome="hit"}} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))
