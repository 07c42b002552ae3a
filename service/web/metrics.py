"""The metrics that Prometheus collects. `Metrics` implements the port `Observer` of `service.pictures`."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from service.line_queue import STANDARD_ERROR
from service.pictures.ports import Layer, Lookup, Outcome
from service.threads import hung_calls
from service.web.request_values import METHODS

Route = Literal["image", "imageinfo", "healthz", "readyz", "metrics", "page", "agent", "other"]
"""The values of the label `route`. `other` counts requests to unknown paths and malformed ones."""

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the upper bounds of the buckets of request durations."""
_MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with the folder in which prometheus_client counts, in one file for each process."""


class Metrics:
    """The metrics of one process. Those that change on hits and misses are plain numbers until `flush`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # otherwise every series has a second one, `_created`
        self.registry = registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        self._requests = counter("contact_image_requests", "Requests answered.", ["route", "method", "status"])
        duration = Histogram(
            "contact_image_request_duration_seconds",
            "Seconds from request to answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._durations = {route: _Durations(duration.labels(route)) for route in get_args(Route)}
        self._abandoned = counter("contact_image_abandoned", "Requests whose clients left before the answer.")
        self._cache = counter("contact_image_cache", "Look-ups by layer and outcome.", ["layer", "outcome"])
        self._answered: defaultdict[tuple[Route, str, int], int] = defaultdict(int)
        self._looked_up: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._happened: defaultdict[Counter, int] = defaultdict(int)
        self._stale = counter("contact_image_stale", "Stale answers.")
        self._collapsed = counter("contact_image_collapsed", "Requests answered from another request's render or read.")
        self._purges = counter("contact_image_purges", "Purges that this process began.")
        self._store_reads = counter("contact_image_store_reads", "Look-ups and reads in the store.")
        self._started = counter("contact_image_renders_started", "Renders begun for requests.")
        self._ended = {
            "finished": counter("contact_image_renders_finished", "Renders that returned a picture."),
            "failed": counter("contact_image_renders_failed", "Renders that failed."),
            "refused": counter("contact_image_renders_refused", "Renders of an impossible size."),
            "timed_out": counter("contact_image_renders_timed_out", "Renders that exceeded their time limit."),
            "abandoned": counter("contact_image_renders_abandoned", "Renders ended because their clients had left."),
        }
        self._first_frames = counter("contact_image_first_frames", "Animations over the budget, rendered as one frame.")
        self._unwritable = counter(
            "contact_image_renders_unwritable", "Renders of sound originals whose writer failed."
        )
        self._unrenderable = counter(
            "contact_image_unrenderable_placeholders", "Placeholders for pictures that cannot be rendered."
        )
        self._from_mezzanines = counter(
            "contact_image_renders_from_mezzanine", "Renders from a mezzanine instead of the original."
        )
        self._log_dropped = counter("contact_image_log_dropped", "Lines of the log that were dropped.")
        self._log_dropped_before = 0
        self._sandbox = Gauge(
            "contact_image_render_sandbox",
            "Layers of the sandbox of render processes.",
            ["layer"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._waiting = 0
        self._hung = Gauge(
            "contact_image_threads_hung",
            "Threads whose calls have not returned, as on a disk that hangs.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._queued = Gauge(
            "contact_image_render_queue_depth",
            "Renders that wait for a process.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def request(self, route: Route, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered in *seconds*."""
        label = method if method in METHODS else "other"  # clients must not create series
        self._answered[route, label, status] += 1
        self._durations[route].add(seconds)

    def abandoned(self) -> None:
        """Count a request whose client left before it was answered."""
        self._abandoned.inc()

    def cache(self, layer: Layer, outcome: Lookup) -> None:
        self._looked_up[layer, outcome] += 1

    def stale_served(self) -> None:
        self._happened[self._stale] += 1

    def collapsed(self) -> None:
        self._happened[self._collapsed] += 1

    def purged(self) -> None:
        self._purges.inc()

    def store_read(self) -> None:
        self._happened[self._store_reads] += 1

    def render_started(self) -> None:
        self._happened[self._started] += 1

    def render_ended(self, outcome: Outcome) -> None:
        self._happened[self._ended[outcome]] += 1

    def mezzanine_used(self) -> None:
        self._happened[self._from_mezzanines] += 1

    def first_frame(self) -> None:
        self._first_frames.inc()

    def unwritable(self) -> None:
        self._unwritable.inc()

    def unrenderable_placeholder(self) -> None:
        """Count a placeholder that was sent because the picture cannot be rendered."""
        self._unrenderable.inc()

    def sandboxed(self, layers: Mapping[str, int]) -> None:
        for name, value in layers.items():
            self._sandbox.labels(name).set(value)

    def queued(self, count: int) -> None:
        self._waiting = count

    def flush(self) -> None:
        """Add the plain numbers to the counters that Prometheus reads."""
        for (route, method, status), count in self._answered.items():
            self._requests.labels(route, method, str(status)).inc(count)
        for (layer, outcome), count in self._looked_up.items():
            self._cache.labels(layer, outcome).inc(count)
        self._queued.set(self._waiting)
        for counter, count in self._happened.items():
            counter.inc(count)
        for durations in self._durations.values():
            durations.flush()
        self._answered.clear()
        self._looked_up.clear()
        self._happened.clear()
        dropped = STANDARD_ERROR.dropped
        self._log_dropped.inc(dropped - self._log_dropped_before)
        self._log_dropped_before = dropped
        self._hung.set(hung_calls())

    def text(self) -> bytes:
        """Return the flushed metrics of all processes in the exposition format, version 0.0.4."""
        registry = self.registry
        if _MULTIPROCESS_DIRECTORY in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class _Durations:
    """Durations of one route, counted in plain numbers until they are added to *histogram*."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._total, self._counts = 0.0, [0] * (len(_BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        self._total += seconds
        self._counts[bisect_left(_BUCKETS, seconds)] += 1

    def flush(self) -> None:
        for bucket, count in zip(self._histogram._buckets, self._counts, strict=True):
            if count:
                bucket.inc(count)
        self._histogram._sum.inc(self._total)
        self._total, self._counts = 0.0, [0] * (len(_BUCKETS) + 1)
