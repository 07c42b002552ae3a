"""Cached renditions of about 12 KB over 32 connections: two processes of ours against two of thumbor's.

Thumbor finds what it has made in its result storage, a folder; we in each process's memory.
"""

from __future__ import annotations

import socket
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bench.bare import ACCEPT
from tools.bench.figures import interleaved, ratios, show, spread
from tools.bench.installed import python_packages
from tools.bench.load import CONNECTIONS, load
from tools.bench.pictures import photograph
from tools.bench.processes import HOST, PATH, free_port, get, listening, process, processor_seconds, service, valkey

_THUMBOR = ("thumbor==7.8.*",)
_PROCESSES = 2
_WIDTH = 319


def run(options: Namespace) -> None:
    """Requests per second: ours, thumbor, ours, …"""
    with tempfile.TemporaryDirectory(prefix="bench-") as text, valkey() as (url, _):
        folders = {name: Path(text, name) for name in ("ours", "theirs", "results")}
        for folder in folders.values():
            folder.mkdir()
        for name in ("ours", "theirs"):
            (folders[name] / "1.jpg").write_bytes(photograph(750, 1000, grain=0.15))
        with (
            service(folders["ours"], cache__url=url, server__workers=str(_PROCESSES)) as ours,
            _thumbor(folders["theirs"], folders["results"]) as (port, pid),
        ):
            paths = {ours.port: f"{PATH}?w={_WIDTH}", port: f"/unsafe/{_WIDTH}x/1.jpg"}
            sizes = {each: len(get(each, path, ACCEPT)[2]) for each, path in paths.items()}
            (folders["theirs"] / "1.jpg").unlink()  # from now on there is nothing but its result storage
            pids = {ours.port: ours.process.pid, port: pid}
            costs: dict[int, list[float]] = {ours.port: [], port: []}

            def rate(port: int, seconds: int) -> float:
                begun = processor_seconds([pids[port]])
                rate = load(port, [paths[port]], ACCEPT, seconds=seconds).rate
                costs[port].append((processor_seconds([pids[port]]) - begun) / (rate * seconds))
                return rate

            for each in paths:
                rate(each, 1)  # so that every process has it, and has been asked for it
                costs[each].clear()
            theirs = interleaved(
                options.runs, lambda: rate(ours.port, options.seconds), lambda: rate(port, options.seconds)
            )
    row = [
        "cached rendition", *(spread(each, 0) for each in theirs), spread(ratios(*theirs)), "≥ 8",
        spread(ratios(costs[port], costs[ours.port])),
    ]  # fmt: skip
    title = f"JPEG of {' and '.join(f'{size:,}' for size in sizes.values())} bytes, {_PROCESSES} processes each"
    heads = ("", "ours, req/s", "thumbor, req/s", "ours / thumbor", "target", "by processor time")
    show(f"{title}, {CONNECTIONS} connections, {options.runs} runs", heads, [row])


@contextmanager
def command(originals: Path, **settings: object) -> Iterator[tuple[str, ...]]:
    """How thumbor is started over the files in *originals*, with further *settings*; its port is to be added.

    It keeps nothing, unless they tell it to. Without pycurl, which a loader of files does not need.
    """
    home = python_packages("thumbor", *_THUMBOR)
    told = {
        "LOADER": "thumbor.loaders.file_loader", "FILE_LOADER_ROOT_PATH": str(originals),
        "STORAGE": "thumbor.storages.no_storage", "RESULT_STORAGE": None,
        "PROGRESSIVE_JPEG": False, "ALLOW_UNSAFE_URL": True, **settings,
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.writelines(f"{name} = {value!r}\n" for name, value in told.items())
        file.flush()
        yield str(home / "thumbor"), "--ip", HOST, "--conf", file.name, "--port"


@contextmanager
def _thumbor(originals: Path, results: Path) -> Iterator[tuple[int, int]]:
    """The port of its processes, and the id of the first."""
    kept = {
        "RESULT_STORAGE": "thumbor.result_storages.file_storage", "RESULT_STORAGE_STORES_UNSAFE": True,
        "RESULT_STORAGE_FILE_STORAGE_ROOT_PATH": str(results),
    }  # fmt: skip
    port = free_port()
    with (
        command(originals, **kept) as start,
        process(*start, str(port), "--processes", str(_PROCESSES)) as child,
    ):
        listening(child, socket.AF_INET, (HOST, port))
        yield port, child.pid
