"""The rate of hits over larger pictures, more renditions of each contact, and more contacts.

Two services share one cache server: one with a memory cache, the other without. The reference is a bare aiohttp handler
that returns one of the pictures. The benchmark prints a table and draws `docs/growth.png`.
"""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tools.bench.bare import ACCEPT
from tools.bench.clients import connected, converse, request, succeeded
from tools.bench.figures import interleaved, ratios, show, spread
from tools.bench.load import CONNECTIONS, load
from tools.bench.lookup import fill
from tools.bench.pictures import photograph
from tools.bench.plot import Panel, plot
from tools.bench.processes import ROOT, Server, get, metric, module, service, valkey

_SECONDS = 1
"""Seconds of load in each run of each of the 27 measures."""
_FILLING = 8
"""Connections that fill the cache. With more of them, some puts would be dropped."""
_STORED, _SCALED = 100_000, 2_000_001
"""The number of contacts with a small picture that is served as stored; the first contact with a large picture."""
_LARGE = 20
"""Contacts with a large picture."""
_HEADS = ("", "", "bytes", "bare handler, req/s", "with memory, req/s", "/ bare", "memory off, req/s", "/ bare",
          "found in memory, Redis, neither", "service, MiB", "Redis, MiB")  # fmt: skip
_SERIES = ("bare handler", "from memory", "from Redis, memory off")


@dataclass(frozen=True, slots=True)
class _Set:
    """Paths that one measure requests."""

    axis: str
    label: str
    paths: list[str]


def run(options: Namespace) -> None:
    """Print a row and draw a point for every set of paths. Each set is cached before it is measured."""
    rows, panels = [], dict[str, Panel]()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as text, valkey() as (url, cache):
        images = _made(Path(text, "images"))
        lasting = {"cache__url": url, "cache__fresh_for": "3600"}  # excludes lookups in the folder
        with service(images, **lasting) as memory, service(images, **lasting, cache__memory_bytes="0") as redis:
            for each in _sets():
                uvloop.run(_request_all(memory.port, each.paths))
                before = _lookups(memory)
                figures = _measured(each.paths, memory, redis, options.runs)
                found = _lookups(memory) - before
                occupied = [f"{server.resident_bytes() / 2**20:,.0f}" for server in (memory, Server(0, cache))]
                size = f"{len(get(memory.port, each.paths[0], ACCEPT)[2]):,}"
                rows.append([each.axis, each.label, size, *_compared(*figures), _shares(found), *occupied])
                panel = panels.setdefault(each.axis, Panel(each.axis, [], {name: [] for name in _SERIES}))
                panel.labels.append(each.label)
                for name, rates in zip(_SERIES, figures, strict=True):
                    panel.series[name].append(rates)
    show(f"Hits, {CONNECTIONS} connections, {options.runs} runs of {_SECONDS} s", _HEADS, rows)
    plot(ROOT / "docs" / "growth.png", list(panels.values()), "requests a second")


def _sets() -> list[_Set]:
    """Return the sets of paths. The last one is larger than the memory cache."""
    scaled = "/api/v1/Contact/{}/Image?type=JPEG&w={}".format
    widths = {"12 KB": 325, "120 KB": 780, "1.2 MB": 3120}
    return [
        *(_Set("size of the picture", size, [scaled(_SCALED, width)]) for size, width in widths.items()),
        *(
            _Set("renditions of a contact", f"{each}", [
                scaled(contact, 325 - each // 2 + n)
                for contact in range(_SCALED, _SCALED + _LARGE) for n in range(each)
            ])
            for each in (1, 10, 100)
        ),
        *(
            _Set("contacts", f"{each:,}", [f"/api/v1/Contact/{1 + n}/Image" for n in range(each)])
            for each in (1, 1_000, _STORED)
        ),
    ]  # fmt: skip


def _made(images: Path) -> Path:
    """Return the folder of originals. Files with equal content are links."""
    fill(images, photograph(207, 276), _STORED)
    (images / "large").write_bytes(photograph(750, 1000, grain=0.15))
    for contact in range(_SCALED, _SCALED + _LARGE):
        os.link(images / "large", images / f"{contact}.jpg")
    return images


async def _request_all(port: int, paths: Sequence[str]) -> None:
    """Request every path once, so that all are cached."""
    clients = await connected(port, _FILLING)
    await converse(clients, (request(path, ACCEPT) for path in paths), succeeded)
    for client in clients:
        client.close()


def _measured(paths: Sequence[str], memory: Server, redis: Server, runs: int) -> list[list[float]]:
    """Return the requests per second of the bare handler and both services, without the first run."""

    def rate(server: Server, requested: Sequence[str] = paths) -> float:
        return load(server.port, requested, ACCEPT, seconds=_SECONDS).rate

    with module("bare", str(memory.port), paths[0]) as bare:
        taken = interleaved(runs + 1, lambda: rate(bare, paths[:1]), lambda: rate(memory), lambda: rate(redis))
    return [rates[1:] for rates in taken]


def _compared(bare: list[float], *ours: list[float]) -> list[str]:
    return [spread(bare, 0), *(text for each in ours for text in (spread(each, 0), spread(ratios(each, bare))))]


def _lookups(server: Server) -> Counter[str]:
    """Return the number of lookups so far that the memory cache, the cache server, or neither answered."""
    kinds = {"memory": ("memory", "hit"), "redis": ("shared", "hit"), "neither": ("shared", "miss")}
    name = 'contact_image_cache_total{{layer="{}",outcome="{}"}}'.format
    return Counter({kind: int(metric(server.port, name(*labels))) for kind, labels in kinds.items()})


def _shares(found: Counter[str]) -> str:
    return ", ".join(f"{100 * found[kind] / found.total():.0f} %" for kind in ("memory", "redis", "neither"))
