"""Cached renditions of 12 KB of many contacts: the service beside thumbor and nginx, on the same pictures.

Each has two processes and everything cached: the service in memory and Redis, thumbor in its result storage, nginx in
its `proxy_cache` in front of a bare aiohttp handler. A program that is not there and cannot be installed has no row.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import uvloop

from tools.bench.instruments import programs
from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.clients import request_all
from tools.bench.instruments.figures import interleaved, show, spread
from tools.bench.instruments.installed import NotInstalled
from tools.bench.instruments.load import CONNECTIONS, Measured, load, measured
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.plot import Panel, plot
from tools.bench.instruments.processes import ROOT, Server, get, module, service, valkey
from tools.bench.instruments.programs import PROCESSES
from tools.bench.instruments.seeding import seed, uniform, zipf
from tools.bench.lookup import fill

_CONTACTS = (1_000, 10_000, 100_000)
_DRAWS = {"uniform": uniform, "Zipf": zipf}
_WIDTH = 260
_PATH = f"/api/v1/Contact/{{}}/Image?w={_WIDTH}"
_REQUESTS = 40_000
"""Paths for a second of load."""
_WARM_UP = 3
"""Seconds of load on each server before the runs."""
_FILLING = 32
"""Connections that fill the cache of nginx."""


@dataclass(frozen=True, slots=True)
class _Peer:
    """A server with all pictures cached. *path* has a place for the contact."""

    name: str
    port: int
    pids: tuple[int, ...]
    path: str = _PATH


def run(options: Namespace) -> None:
    """Print a row for each number of contacts and each distribution, and draw `docs/wide.png`."""
    rows, panels = [], []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as text, ExitStack() as stack:
        folder = Path(text)
        ours, rendition = stack.enter_context(_ours(folder / "ours"))
        bare = stack.enter_context(module("bare", str(ours.port), _PATH.format(1), "routerless"))
        peers = [ours]
        for peer in (partial(_thumbor, folder / "thumbor", rendition), partial(_nginx, folder / "nginx", bare.port)):
            try:
                peers.append(stack.enter_context(peer()))
            except NotInstalled as error:
                print(f"not measured: {error}")
        reference = stack.enter_context(module("bare", str(ours.port), _PATH.format(1)))
        names = [each.name for each in peers]
        for draw in _DRAWS:
            panel = Panel(f"contacts, {draw}", [], {name: [] for name in ("bare handler", *names)})
            panels.append(panel)
            for contacts in _CONTACTS:
                figures = _measured(peers, reference, range(1, contacts + 1), _DRAWS[draw], options)
                panel.labels.append(f"{contacts:,}")
                for series, each in zip(panel.series.values(), figures, strict=True):
                    series.append(each.rates)
                handler, first, *others = figures
                compared = [text for each in (handler, *others) for text in first.compared(each)]
                rows.append([f"{contacts:,}, {draw}", *(spread(each.rates, 0) for each in figures), *compared])
    against = [text for name in ("bare handler", *names[1:]) for text in (f"ours / {name}", "by processor time")]
    heads = ("contacts", *(f"{name}, req/s" for name in ("bare handler", *names)), *against)
    title = f"JPEG of {len(rendition):,} bytes, {PROCESSES} processes each, {CONNECTIONS} connections"
    show(
        f"{title}, {options.runs} runs of {options.seconds} s (the bare handler: one process, one picture)", heads, rows
    )
    plot(ROOT / "docs" / "wide.png", panels, "requests a second", columns=2)


def _measured(
    peers: list[_Peer], reference: Server, contacts: Sequence[int], draw: Callable[..., list[int]], options: Namespace
) -> list[Measured]:
    """Return the figures of the bare handler and of every peer."""
    random = Random(1)

    def paths(peer: _Peer, seconds: int) -> list[str]:
        return [peer.path.format(contact) for contact in draw(contacts, seconds * _REQUESTS, random)]

    for peer in peers:
        load(peer.port, paths(peer, _WARM_UP), ACCEPT, seconds=_WARM_UP)
    bare, theirs = measured(reference, ACCEPT), [Measured(peer.port, peer.pids, ACCEPT) for peer in peers]

    def measure(peer: _Peer, its: Measured) -> float:
        return its.measure(paths(peer, options.seconds), options.seconds)

    interleaved(
        options.runs,
        lambda: bare.measure([_PATH.format(1)], options.seconds),
        *(partial(measure, *each) for each in zip(peers, theirs, strict=True)),
    )
    return [bare, *theirs]


@contextmanager
def _ours(images: Path) -> Iterator[tuple[_Peer, bytes]]:
    """Start the service with the renditions in Redis. Yield it and a rendition."""
    fill(images, photograph(207, 276), _CONTACTS[-1])  # a lookup that takes too long on a busy machine costs a render
    settings = {"cache__fresh_for": "3600", "server__workers": str(PROCESSES), "render__queue_timeout": "60"}
    with valkey() as (url, cache), service(images, cache__url=url, **settings) as server:
        seed(url, images, _PATH, 1, range(2, _CONTACTS[-1] + 1))
        rendition = get(server.port, _PATH.format(1), ACCEPT)[2]
        yield _Peer("the service", server.port, (server.process.pid, cache.pid)), rendition


@contextmanager
def _thumbor(folder: Path, rendition: bytes) -> Iterator[_Peer]:
    """Start thumbor with every result of the form */unsafe/260x/7.jpg* in its storage, and without originals."""
    path = f"/unsafe/{_WIDTH}x/{{}}.jpg"
    (folder / "originals").mkdir(parents=True)
    with programs.thumbor(folder / "originals", folder / "results") as (port, pid):
        for contact in range(1, _CONTACTS[-1] + 1):
            # thumbor.result_storages.file_storage: the SHA-1 of the path
            name = hashlib.sha1(path.format(contact).encode(), usedforsecurity=False).hexdigest()
            file = folder / "results" / "default" / name[:2] / name[2:4] / name[4:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(rendition)
        status, _, body = get(port, path.format(_CONTACTS[-1]))
        assert status == 200 and body == rendition, "thumbor does not find its results"
        yield _Peer("thumbor", port, (pid,), path)


@contextmanager
def _nginx(folder: Path, origin: int) -> Iterator[_Peer]:
    """Start nginx in front of the handler at the port *origin*, with every picture in its cache."""
    with programs.nginx(folder, origin) as (port, pid):
        uvloop.run(request_all(port, map(_PATH.format, range(1, _CONTACTS[-1] + 1)), ACCEPT, _FILLING))
        _, headers, _ = get(port, _PATH.format(_CONTACTS[-1]), ACCEPT)
        assert headers["X-Cache"] == "HIT", headers
        yield _Peer("nginx", port, (pid,))
