"""The progress of long work on standard error: a bar at a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY = 5.0
"""Seconds between two lines."""

Report = Callable[[float, str], None]
"""Shows how much is done, in the unit of the total, and a text."""


@contextmanager
def progress(what: str, total: float) -> Iterator[Report]:
    """Yield a function that shows how much of *total* is done."""
    if not sys.stderr.isatty():
        yield _lines(what, total)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task(what, total=total, text="")

        def show(done: float, text: str) -> None:
            bar.update(task, completed=done, text=text, refresh=True)

        yield show


def _lines(what: str, total: float) -> Report:
    following = time.monotonic() + _EVERY

    def write(done: float, text: str) -> None:
        nonlocal following
        if done < total and time.monotonic() < following:
            return
        following = time.monotonic() + _EVERY
        print(f"{what}: {min(1.0, done / total):.0%}, {text}", file=sys.stderr, flush=True)

    return write
