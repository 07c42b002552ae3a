"""The time of each copy of the bytes: from file to service, from service to worker, and back."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import time
from argparse import Namespace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from service.imaging.order import Rendered
from tools.bench.instruments.figures import show, spread

_IN = (500_000, 2_000_000, 8_000_000)
_OUT = (20_000, 1_000_000)
_PIPE_BYTES = 1_048_576
_TIMES = 20
"""Copies in one run. The first quarter is not counted."""


def run(options: Namespace) -> None:
    """Print the milliseconds of each copy, by size."""
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    back, answers = context.Pipe(duplex=False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(ours.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    child = context.Process(target=_worker, args=(theirs, answers), daemon=True)
    child.start()
    times = options.runs * _TIMES
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, asyncio.Runner() as runner:
        file = Path(folder, "original")
        for size in _IN:
            file.write_bytes(os.urandom(size))
            read = [runner.run(_read(file)) for _ in range(times)]
            sent = [_sent(file.read_bytes(), ours, back) for _ in range(times)]
            rows += [[f"file to service, {_size(size)}", spread(read[times // 4 :])],
                     [f"service to worker by a pipe of 1 MiB, {_size(size)}", spread(sent[times // 4 :])]]  # fmt: skip
    for size in _OUT:
        returned = [_returned(size, ours, back) for _ in range(times)]
        rows.append([f"worker to service, pickled, {_size(size)}", spread(returned[times // 4 :])])
    ours.close()
    child.join()
    show(f"{times} copies each", ("copy", "ms"), rows)


async def _read(file: Path) -> float:
    """Return the milliseconds to read *file* in a thread, as the store does."""
    begun = time.monotonic()
    await asyncio.to_thread(file.read_bytes)
    return 1000 * (time.monotonic() - begun)


def _sent(data: bytes, ours: Connection, back: Connection) -> float:
    begun = time.monotonic()
    ours.send_bytes(data)
    received: float = back.recv()
    return 1000 * (received - begun)


def _returned(size: int, ours: Connection, back: Connection) -> float:
    ours.send_bytes(b"%d" % size)
    begun, _ = back.recv()
    return 1000 * (time.monotonic() - float(begun))


def _worker(originals: Connection, answers: Connection) -> None:
    """Answer bytes with the time of their arrival, and a number with a rendition of that size."""
    while True:
        try:
            data = originals.recv_bytes()
        except EOFError:
            return
        if len(data) > 20:
            answers.send(time.monotonic())
        else:
            rendered = Rendered(os.urandom(int(data)), 1, 1, frames=1, first_frame=False)
            answers.send((time.monotonic(), rendered))


def _size(size: int) -> str:
    return f"{size / 1_000_000:g} MB" if size >= 100_000 else f"{size // 1000} KB"
