"""Cached renditions of about 12 KB over 32 connections: two processes of the service against two of thumbor.

Thumbor reads renditions from its result storage, a folder. The service reads them from the memory of each process.
"""

from __future__ import annotations

import socket
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tools.bench.bare import ACCEPT
from tools.bench.figures import interleaved, show, spread
from tools.bench.installed import python_packages
from tools.bench.load import CONNECTIONS, Measured, load, measured
from tools.bench.pictures import photograph
from tools.bench.processes import HOST, PATH, free_port, get, listening, process, service, valkey

_THUMBOR = ("thumbor==7.8.*",)
_PROCESSES = 2
_WIDTH = 319


def run(options: Namespace) -> None:
    """Measure the requests per second of the service and of thumbor in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-") as text, valkey() as (url, _):
        folders = {name: Path(text, name) for name in ("ours", "theirs", "results")}
        for folder in folders.values():
            folder.mkdir()
        for name in ("ours", "theirs"):
            (folders[name] / "1.jpg").write_bytes(photograph(750, 1000, grain=0.15))
        with (
            service(folders["ours"], cache__url=url, server__workers=str(_PROCESSES)) as ours,
            storing(folders["theirs"], folders["results"]) as (port, pid),
        ):
            paths = {ours.port: f"{PATH}?w={_WIDTH}", port: f"/unsafe/{_WIDTH}x/1.jpg"}
            sizes = {each: len(get(each, path, ACCEPT)[2]) for each, path in paths.items()}
            (folders["theirs"] / "1.jpg").unlink()  # so that thumbor uses its result storage
            servers = measured(ours, ACCEPT), Measured(port, (pid,), ACCEPT)
            for each in servers:
                load(each.port, [paths[each.port]], ACCEPT, seconds=1)  # so that every process has the rendition
            loads = [partial(each.measure, [paths[each.port]], options.seconds) for each in servers]
            interleaved(options.runs, *loads)
    first, second = servers
    row = [
        "cached rendition", *(spread(each.rates, 0) for each in servers), *first.compared(second), "≥ 8",
    ]  # fmt: skip
    title = f"JPEG of {' and '.join(f'{size:,}' for size in sizes.values())} bytes, {_PROCESSES} processes each"
    heads = ("", "ours, req/s", "thumbor, req/s", "ours / thumbor", "by processor time", "target")
    show(f"{title}, {CONNECTIONS} connections, {options.runs} runs", heads, [row])


@contextmanager
def command(originals: Path, **settings: object) -> Iterator[tuple[str, ...]]:
    """Yield the command that starts thumbor over the files in *originals*. The caller appends the port.

    It stores no renditions unless *settings* say so.
    """
    home = python_packages("thumbor", *_THUMBOR)
    configuration = {
        "LOADER": "thumbor.loaders.file_loader", "FILE_LOADER_ROOT_PATH": str(originals),
        "STORAGE": "thumbor.storages.no_storage", "RESULT_STORAGE": None,
        "PROGRESSIVE_JPEG": False, "ALLOW_UNSAFE_URL": True, **settings,
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.writelines(f"{name} = {value!r}\n" for name, value in configuration.items())
        file.flush()
        yield str(home / "thumbor"), "--ip", HOST, "--conf", file.name, "--port"


@contextmanager
def storing(originals: Path, results: Path) -> Iterator[tuple[int, int]]:
    """Start thumbor with its result storage. Yield the port of its processes and the id of the first one."""
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
