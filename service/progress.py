"""The progress of long work on standard error: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

_EVERY = 5.0
"""Seconds between two lines."""

Report = Callable[[float, str], None]
"""Shows how much is done, in the unit of the total, and a text."""


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how many of *total* steps are done, their rate, and the time left. Yield the function that counts a step."""
    if not sys.stderr.isatty():
        yield _Lines(label, total).count
        return
    with _bar(label, total, steps=True) as show:
        begun, done = time.monotonic(), 0

        def count() -> None:
            nonlocal done
            done += 1
            show(done, _rate(done, time.monotonic() - begun))

        yield count


@contextmanager
def reported(label: str, total: float) -> Iterator[Report]:
    """Show which share of *total* is done, and the text of the latest report. Yield the function that reports."""
    if not sys.stderr.isatty():
        yield _shares(label, total)
        return
    with _bar(label, total, steps=False) as show:
        yield show


@contextmanager
def _bar(label: str, total: float, *, steps: bool) -> Iterator[Report]:
    """Yield the function that changes a bar. *steps*: the bar has their number, and a thread draws it between calls."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    number = (MofNCompleteColumn(),) if steps else ()
    text = TextColumn("{task.fields[text]}")
    columns = TextColumn("{task.description}"), BarColumn(), *number, text, TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), auto_refresh=steps) as bar:
        task = bar.add_task(label, total=total, text="")

        def show(done: float, text: str) -> None:
            bar.update(task, completed=done, text=text, refresh=not steps)

        yield show


class _Lines:
    """The progress of steps as lines: one at the beginning, one every few seconds, and one at the end."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self._done = label, total, 0
        self._begun = self._last = time.monotonic()
        _print(f"{label}: 0/{total}")

    def count(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._last >= _EVERY or self._done == self._total:
            self._last, seconds = now, now - self._begun
            left = timedelta(seconds=round(seconds / self._done * (self._total - self._done)))
            _print(f"{self._label}: {self._done}/{self._total} {_rate(self._done, seconds)} {left} left")


def _shares(label: str, total: float) -> Report:
    """Return the function that writes a report as a line: one every few seconds, and the first when all is done."""
    following, ended = time.monotonic() + _EVERY, False

    def write(done: float, text: str) -> None:
        nonlocal following, ended
        if (done < total or ended) and time.monotonic() < following:
            return
        following, ended = time.monotonic() + _EVERY, done >= total
        _print(f"{label}: {min(1.0, done / total):.0%}, {text}")

    return write


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _rate(done: int, seconds: float) -> str:
    return f"{done / max(seconds, 1e-3):.1f}/s"
