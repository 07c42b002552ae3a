"""What one request has cost and met on its way: durations and the cache's outcome."""

from __future__ import annotations

import time


class Trace:
    """Filled while a request is answered. Times are seconds; a request's own, never shared."""

    __slots__ = ("collapsed", "fwd", "seconds", "stored", "ttl", "unanswered", "unknown")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.fwd: str | None = None  # why it went on to store or renderer, RFC 9211 section 2.2; None: it did not
        self.collapsed = False
        self.stored = False
        self.ttl: int | None = None
        self.unanswered = 0  # look-ups in the shared cache
        self.unknown = False  # no record of the contact was found: what else there is of it is not looked for

    def timed(self, name: str) -> _Timed:
        """Add what passes inside to *name*'s time."""
        return _Timed(self.seconds, name)


class _Timed:
    """A `with` block on the clock. A class, for a generator's takes four times as long, on every hit."""

    __slots__ = ("_begun", "_name", "_seconds")

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + time.perf_counter() - self._begun
