"""The rate of hits over larger pictures and over more contacts, against a bare aiohttp handler with one such picture.

Three services share one cache server: one with a memory cache, one without, and one with the default `cache.fresh_for`.
Renditions are put into Redis in advance, stored pictures are links to a thousand files. The benchmark prints a table
and draws `docs/growth.png`. It takes half an hour.
"""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import uvloop

from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.clients import request_all
from tools.bench.instruments.figures import interleaved, ratios, show, spread
from tools.bench.instruments.load import CONNECTIONS, Measured, load, measured
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.plot import Panel, plot
from tools.bench.instruments.processes import ROOT, Server, get, metric, module, service, valkey
from tools.bench.instruments.seeding import Draw, in_turn, seed, uniform, zipf
from tools.bench.lookup import fill

_SECONDS, _SECONDS_LARGE = 1, 4
"""Seconds of load in each run of each server; of load with pictures of a megabyte and more."""
_WARM_UP = 3
"""Seconds of load on each service before the runs."""
_DRAWS, _MOST_DRAWS = 40_000, 400_000
"""Paths for a second of load, more than any server answers; paths of one load, which are then repeated."""
_FILLING = 8
"""Connections that have stored pictures cached. With more of them, some puts would be dropped."""
_REDIS = "3gb"
"""The most memory of the cache server, which then drops entries."""
_RENDITIONS, _STORED = "renditions", "stored pictures"
_PATH = "/api/v1/Contact/{}/Image"
_WIDTHS = {"3 KB": 257, "12 KB": 457, "40 KB": 712, "120 KB": 1037, "400 KB": 1576, "1.2 MB": 2347, "5 MB": 4000}
"""Pixels of the width at which renditions of one large picture have these sizes."""
_SIZES = {"3 KB": 3_000, "12 KB": 12_000, "40 KB": 40_000, "120 KB": 120_000, "400 KB": 400_000, "1.2 MB": 1_200_000,
          "5 MB": 5_000_000}  # fmt: skip
"""Bytes of the stored pictures."""
_LARGE, _SIZED = 2_000_000, 2_000_001
"""The contact with the large picture, and the first of those with stored pictures of these sizes."""
_COPIED, _WIDTH = 3_000_000, 260
"""The contact whose rendition is copied to all others, and its pixels: then it has 12 KB, as the stored pictures."""
_CONTACTS = (100, 1_000, 10_000, 100_000)
_ALL = 1_000_000
"""Contacts with a stored picture in their shards, folders with a thousandth of the contacts each."""
_SETTINGS = {"render__workers": "1", "render__queue_timeout": "60"}
"""Settings of all services. A lookup that takes too long on a busy machine costs a render, which is not refused."""
_SERVICES = {
    "with memory": {"cache__fresh_for": "3600"},  # excludes lookups in the folder
    "memory off": {"cache__fresh_for": "3600", "cache__memory_bytes": "0"},
    "default `fresh_for`": {},
}
_HEADS = ("", "", "bytes", "bare handler, req/s", "with memory / bare", "by processor time", "memory off / bare",
          "by processor time", "found in memory, Redis, the folder", "service, MiB", "Redis, MiB")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One measure: the *contacts*, drawn by *draw*, and the *services* that are asked. *label* is a point on *axis*."""

    kind: str
    axis: str
    label: str
    contacts: Sequence[int]
    query: str = ""
    draw: Draw = uniform
    services: tuple[str, ...] = ("with memory", "memory off")
    warm_up: int = _WARM_UP
    seconds: int = _SECONDS

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.axis}"

    def paths(self, random: Random, seconds: int) -> list[str]:
        """Return the paths of a load of *seconds*."""
        count = min(seconds * _DRAWS, _MOST_DRAWS)
        return [self.path(contact) for contact in self.draw(self.contacts, count, random)]

    def path(self, contact: int) -> str:
        return _PATH.format(contact) + self.query


def cases() -> list[Case]:
    """Return all cases in the order in which they are measured."""
    default, found = ("default `fresh_for`",), []
    for label, width in _WIDTHS.items():
        found.append(Case(_RENDITIONS, "size", label, [_LARGE], f"?w={width}", seconds=_seconds(label)))
    for contact, label in enumerate(_SIZES, _SIZED):
        found.append(Case(_STORED, "size", label, [contact], seconds=_seconds(label)))
    unasked = range(_CONTACTS[-1] + 1, _ALL + 1)
    found.append(
        Case(_STORED, "each for the first time", f"{len(unasked):,}", unasked, draw=in_turn(unasked), warm_up=1)
    )
    for kind, query, numbers in ((_RENDITIONS, f"?w={_WIDTH}", _CONTACTS), (_STORED, "", (*_CONTACTS, _ALL))):
        contacts = {f"{each:,}": range(1, each + 1) for each in numbers}
        for axis, draw in (("contacts, uniform", uniform), ("contacts, Zipf", zipf)):
            found += [Case(kind, axis, label, each, query, draw) for label, each in contacts.items()]
        many = f"{_CONTACTS[-1]:,}"
        found.append(
            Case(kind, "contacts, default `fresh_for`", many, contacts[many], query, services=default, warm_up=60)
        )
    return found


def _seconds(size: str) -> int:
    return _SECONDS_LARGE if size.endswith("MB") else _SECONDS


def run(options: Namespace) -> None:
    """Print a row and draw a point for every case."""
    chosen = [case for case in cases() if options.only in case.name]
    if not chosen:
        raise SystemExit(f"no case has {options.only!r} in its name")
    rows, panels = [], dict[str, Panel]()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as text:
        images = _made(Path(text, "images"), stored=any(case.kind == _STORED for case in chosen))
        for kind in (_RENDITIONS, _STORED):
            if of_kind := [case for case in chosen if case.kind == kind]:
                with _running(images, kind) as (services, cache):
                    rows += [_measured(case, services, cache, options.runs, panels) for case in of_kind]
    show(f"Hits, {CONNECTIONS} connections, {options.runs} runs", _HEADS, rows)
    if not options.only:
        drawn = [panel for panel in panels.values() if len(panel.labels) > 1]
        plot(ROOT / "docs" / "growth.png", drawn, "requests a second / bare handler", columns=3)


def _made(images: Path, *, stored: bool) -> Path:
    """Return the folder of originals. Zeros fill the stored pictures up to their sizes."""
    small = photograph(207, 276)
    fill(images, small.ljust(_SIZES["12 KB"], b"\0"), _ALL if stored else _CONTACTS[-1])
    os.link(images / "source", images / f"{_COPIED}.jpg")
    (images / f"{_LARGE}.jpg").write_bytes(photograph(4000, 3000, grain=0.65))
    for contact, size in enumerate(_SIZES.values(), _SIZED):
        (images / f"{contact}.jpg").write_bytes(photograph(80, 106).ljust(size, b"\0"))
    return images


@contextmanager
def _running(images: Path, kind: str) -> Iterator[tuple[dict[str, Server], Server]]:
    """Start the services, and have the pictures of *kind* cached. Yield the services by name, and the cache server."""
    with valkey("--maxmemory", _REDIS, "--maxmemory-policy", "allkeys-lru") as (url, cache), ExitStack() as stack:
        services = {
            name: stack.enter_context(service(images, cache__url=url, **_SETTINGS, **settings))
            for name, settings in _SERVICES.items()
        }
        contacts, port = range(1, _CONTACTS[-1] + 1), services["with memory"].port
        if kind == _STORED:
            uvloop.run(request_all(port, map(_PATH.format, contacts), ACCEPT, _FILLING))
        else:
            seed(url, images, f"{_PATH}?w={_WIDTH}", _COPIED, contacts)
        yield services, Server(0, cache)


def _measured(
    case: Case, services: Mapping[str, Server], cache: Server, runs: int, panels: dict[str, Panel]
) -> list[str]:
    """Return the row of *case*, and add its point to *panels*."""
    random, path = Random(1), case.path(case.contacts[0])
    asked = [services[name] for name in case.services]
    for each in asked:
        get(each.port, path, ACCEPT)
        load(each.port, case.paths(random, case.warm_up), ACCEPT, seconds=case.warm_up)
    before = _lookups(asked[0])
    with module("bare", str(asked[0].port), path) as handler:
        bare, *ours = (measured(each, ACCEPT) for each in (handler, *asked))
        interleaved(
            runs,
            lambda: bare.measure([path], case.seconds),
            *(partial(_measure, each, case, random) for each in ours),
        )
    found = _lookups(asked[0]) - before
    panel = panels.setdefault(case.name, Panel(case.name, [], {name: [] for name in ("bare handler", *case.services)}))
    panel.labels.append(case.label)
    for name, server in zip(panel.series, (bare, *ours), strict=True):
        panel.series[name].append(ratios(server.rates, bare.rates))
    compared = [text for server in ours for text in server.compared(bare)] + ["", ""] * (2 - len(ours))
    size = len(get(asked[0].port, path, ACCEPT)[2])
    occupied = [f"{each.resident_bytes() / 2**20:,.0f}" for each in (asked[0], cache)]
    row = [case.name, case.label, f"{size:,}", spread(bare.rates, 0), *compared, _shares(found), *occupied]
    print(*row, sep=" | ", file=sys.stderr)
    return row


def _measure(ours: Measured, case: Case, random: Random) -> float:
    return ours.measure(case.paths(random, case.seconds), case.seconds)


def _lookups(server: Server) -> Counter[str]:
    """Return the number of lookups so far that found something in memory or in Redis, and those in the folder."""
    hits = 'contact_image_cache_total{{layer="{}",outcome="hit"}}'.format
    names = {"memory": hits("memory"), "redis": hits("shared"), "folder": "contact_image_store_reads_total"}
    return Counter({place: int(metric(server.port, name)) for place, name in names.items()})


def _shares(found: Counter[str]) -> str:
    return ", ".join(f"{100 * found[place] / max(1, found.total()):.0f} %" for place in ("memory", "redis", "folder"))
