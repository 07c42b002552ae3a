"""The progress of long work on standard error: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

_EVERY = 5.0
"""Seconds between two lines."""


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how many of *total* steps are done, their rate, and the time left. Yield the function that counts a step."""
    if not sys.stderr.isatty():
        yield _Lines(label, total).count
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=total, rate="")
        begun, done = time.monotonic(), 0

        def count() -> None:
            nonlocal done
            done += 1
            shown.update(task, completed=done, rate=_rate(done, time.monotonic() - begun))

        yield count


class _Lines:
    """The same as lines: one at the beginning, one every few seconds, and one at the end."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self._done = label, total, 0
        self._begun = self._last = time.monotonic()
        self._print(f"{label}: 0/{total}")

    def count(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._last >= _EVERY or self._done == self._total:
            self._last, seconds = now, now - self._begun
            left = timedelta(seconds=round(seconds / self._done * (self._total - self._done)))
            self._print(f"{self._label}: {self._done}/{self._total} {_rate(self._done, seconds)} {left} left")

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def _rate(done: int, seconds: float) -> str:
    return f"{done / max(seconds, 1e-3):.1f}/s"
