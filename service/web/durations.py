"""Histograms of durations, counted in plain numbers until they are flushed: prometheus_client is too slow for hits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

ANSWER_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the upper bounds of the buckets of durations from request to answer."""


class Durations:
    """Durations, counted in plain numbers until they are added to *histogram*, whose buckets have *bounds*."""

    __slots__ = ("_bounds", "_counts", "_histogram", "_total")

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        self._histogram, self._bounds = histogram, bounds
        self._total, self._counts = 0.0, [0] * (len(bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._total += seconds
        self._counts[bisect_left(self._bounds, seconds)] += 1

    def flush(self) -> None:
        """Add what was counted to the histogram."""
        for bucket, count in zip(self._histogram._buckets, self._counts, strict=True):
            if count:
                bucket.inc(count)
        self._histogram._sum.inc(self._total)
        self._total, self._counts = 0.0, [0] * len(self._counts)


class AnswerDurations(Durations):
    """The durations of one route, and the bytes of its answers, which are added to *sent*."""

    __slots__ = ("_sent", "_size")

    def __init__(self, histogram: Histogram, sent: Counter) -> None:
        super().__init__(histogram, ANSWER_BUCKETS)
        self._sent, self._size = sent, 0

    def add_answer(self, seconds: float, size: int) -> None:
        """Count an answer with a body of *size* bytes."""
        # A call of `add` takes 1 % of a hit.
        self._total += seconds
        self._counts[bisect_left(ANSWER_BUCKETS, seconds)] += 1
        self._size += size

    def flush(self) -> None:
        super().flush()
        self._sent.inc(self._size)
        self._size = 0
