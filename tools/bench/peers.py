"""Misses over HTTP against ipx (sharp, libvips) and thumbor (Pillow). Every request is for another contact."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from PIL import Image

from tools.bench import thumbor
from tools.bench.figures import interleaved, ratios, show, spread
from tools.bench.installed import node_packages
from tools.bench.likeness import luma, ssim
from tools.bench.photographs import originals
from tools.bench.processes import HOST, free_port, get, listening, process, processor_seconds, service, valkey

_IPX = ("ipx@4.0.0-beta.1", "sharp@0.35.5")
_PROCESSES = 2
_CONNECTIONS = 8
_WIDTHS = range(200, 501, 20)
_REQUESTS = {"2.5 MP JPEG": 320, "12 MP JPEG": 128}
"""Requests in one run of one server."""
_WARM_UP = 16
_NICENESS = 5
_TARGETS = {("2.5 MP JPEG", "ipx"): "≥ 1.2", ("2.5 MP JPEG", "thumbor"): "≥ 2",
            ("12 MP JPEG", "ipx"): "≥ 1.0", ("12 MP JPEG", "thumbor"): "≥ 1.5"}  # fmt: skip
_COMPARED = 319
"""Pixels of the width at which the quality of the peers is chosen: the SSIM to the original is at least ours."""
_QUALITIES = range(60, 96)


@dataclass(frozen=True, slots=True)
class _Peer:
    """A server on one or more ports. *path* gives the path of a contact's picture at a width and a quality."""

    name: str
    ports: tuple[int, ...]
    processes: tuple[int, ...]
    """The ids of the processes. Their child processes count, too."""
    path: Callable[[int, int, int], str]


def run(options: Namespace) -> None:
    """Measure the requests per second of each server."""
    files = originals()
    rows, likes = [], []
    for name, requests in _REQUESTS.items():
        with tempfile.TemporaryDirectory(prefix="bench-") as text:
            folder = Path(text)
            contacts = (options.runs + 1) * (requests + _WARM_UP)
            (folder / "0.jpg").write_bytes(files[name])
            for contact in range(1, contacts + 1):
                os.link(folder / "0.jpg", folder / f"{contact}.jpg")
            with ExitStack() as stack:
                servers = [stack.enter_context(each(folder)) for each in (_ours, _ipx, _thumbor)]
                reference = luma(files[name])
                reference = reference.resize(
                    (_COMPARED, round(reference.height * _COMPARED / reference.width)), Image.Resampling.LANCZOS
                )
                ours = _likeness(servers[0], 0, reference)
                qualities = [0, *(_quality(server, reference, ours[0]) for server in servers[1:])]
                costs: list[list[float]] = [[] for _ in servers]
                rates = interleaved(
                    options.runs,
                    *(partial(_rate, *each, count(), requests) for each in zip(servers, qualities, costs, strict=True)),
                )
                likes.append([name, f"SSIM {ours[0]:.4f}, {ours[1]:,} bytes"])
                for server, quality in list(zip(servers, qualities, strict=True))[1:]:
                    likeness, size = _likeness(server, quality, reference)
                    likes[-1].append(f"{likeness:.4f}, {size:,} at quality {quality}")
        for server, rate, cost in list(zip(servers, rates, costs, strict=True))[1:]:
            rows.append([
                name, server.name, spread(rates[0], 1), spread(rate, 1), spread(ratios(rates[0], rate)),
                spread(ratios(cost, costs[0])), _TARGETS[name, server.name],
            ])  # fmt: skip
    widths = f"{_WIDTHS[0]} to {_WIDTHS[-1]} px"
    heads = ("original", "peer", "ours, req/s", "peer, req/s", "ours / peer", "by processor time", "target")
    show(f"misses to JPEG of {widths}, {_CONNECTIONS} connections, {options.runs} runs of {_REQUESTS}", heads, rows)
    show(f"against a full decode scaled in floats, at {_COMPARED} px", ("", "ours", "ipx", "thumbor"), likes)


@contextmanager
def _ours(folder: Path) -> Iterator[_Peer]:
    with valkey() as (url, cache), service(folder, cache__url=url, render__workers=str(_PROCESSES)) as server:
        pids = server.process.pid, cache.pid
        yield _Peer("ours", (server.port,), pids, "/api/v1/Contact/{}/Image?w={}&type=JPEG".format)


@contextmanager
def _ipx(folder: Path) -> Iterator[_Peer]:
    """Start two processes of ipx's own server. Each has four threads."""
    home = node_packages("ipx", *_IPX)
    script = Path(shutil.copy(Path(__file__).with_name("ipx.mjs"), home))
    with _processes(lambda port: ("node", str(script), str(port), str(folder))) as (ports, children):
        yield _Peer("ipx", ports, children, "/w_{1},f_jpeg,q_{2}/{0}.jpg".format)


@contextmanager
def _thumbor(folder: Path) -> Iterator[_Peer]:
    """Start two processes of thumbor that read files and store nothing."""
    with thumbor.command(folder) as command, _processes(lambda port: (*command, str(port))) as (ports, children):
        yield _Peer("thumbor", ports, children, "/unsafe/{1}x/filters:quality({2})/{0}.jpg".format)


@contextmanager
def _processes(command: Callable[[int], tuple[str, ...]]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Start processes with the niceness of the service's render processes."""
    ports = tuple(free_port() for _ in range(_PROCESSES))
    children = []
    with ExitStack() as stack:
        for port in ports:
            child = stack.enter_context(process("nice", f"-n{_NICENESS}", *command(port)))
            listening(child, socket.AF_INET, (HOST, port))
            children.append(child.pid)
        yield ports, tuple(children)


def _rate(server: _Peer, quality: int, costs: list[float], rounds: Iterator[int], requests: int) -> float:
    """Return the requests per second. Add the seconds of processor time for one request to *costs*."""
    first = 1 + next(rounds) * (requests + _WARM_UP)
    _load(server, quality, range(first, first + _WARM_UP))
    begun, busy = time.perf_counter(), processor_seconds(server.processes)
    _load(server, quality, range(first + _WARM_UP, first + _WARM_UP + requests))
    costs.append((processor_seconds(server.processes) - busy) / requests)
    return requests / (time.perf_counter() - begun)


def _load(server: _Peer, quality: int, contacts: range) -> None:
    """Request every one of *contacts*, at varying widths. End the benchmark when an answer is not a picture."""
    left, lock, failures = iter(contacts), threading.Lock(), list[str]()

    def client(port: int) -> None:
        connection = http.client.HTTPConnection(HOST, port, timeout=60)
        while not failures:
            with lock:
                contact = next(left, None)
            if contact is None:
                break
            path = server.path(contact, _WIDTHS[contact % len(_WIDTHS)], quality)
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200 or not body.startswith(b"\xff\xd8\xff"):
                failures.append(f"{server.name}: {path}: {response.status}")
        connection.close()

    ports = [server.ports[each % len(server.ports)] for each in range(_CONNECTIONS)]
    threads = [threading.Thread(target=client, args=(port,)) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(failures[0])


def _likeness(server: _Peer, quality: int, reference: Image.Image) -> tuple[float, int]:
    """Return the SSIM to the reference, a full decode scaled in floats, and the bytes."""
    _, _, body = get(server.ports[0], server.path(1, _COMPARED, quality))
    return ssim(reference, luma(body)), len(body)


def _quality(server: _Peer, reference: Image.Image, likeness: float) -> int:
    """Return the lowest quality at which the SSIM of a peer is at least *likeness*, or the highest quality."""
    low, high = _QUALITIES[0], _QUALITIES[-1]
    while low < high:
        middle = (low + high) // 2
        if _likeness(server, middle, reference)[0] >= likeness:
            high = middle
        else:
            low = middle + 1
    return low
