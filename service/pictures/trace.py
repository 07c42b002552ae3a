"""What one request has cost and met on its way: durations and the cache's outcome."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Trace:
    """Filled while a request is answered. Times are seconds; a request's own, never shared."""

    __slots__ = ("collapsed", "fwd", "seconds", "stored", "ttl")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.fwd: str | None = None  # why it went on to store or renderer, RFC 9211 section 2.2; None: it did not
        self.collapsed = False
        self.stored = False
        self.ttl: int | None = None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add what passes inside to *name*'s time."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun
