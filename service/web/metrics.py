"""What is counted, under the names that Prometheus reads. Implements the use case's `Observer`."""

from __future__ import annotations

import os
from collections import defaultdict
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

from service.pictures.ports import Layer, Lookup, Outcome

Route = Literal["image", "imageinfo", "healthz", "readyz", "metrics", "gallery", "other"]
"""What a request was about, for the label `route`. A request to another path, and a malformed one, are `other`."""

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE", "PURGE"))
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client is told to count in files, one of each process in that folder."""


class Metrics:
    """One registry a process. What is counted on every hit is counted in plain numbers at first."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # or each series has a `_created` beside it
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "contact_image_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        duration = Histogram(
            "contact_image_request_duration_seconds",
            "From request to answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._durations = {route: duration.labels(route) for route in get_args(Route)}  # bound once, not on every hit
        self._cache = Counter(
            "contact_image_cache", "Look-ups by layer and outcome.", ["layer", "outcome"], registry=registry
        )
        self._answered: defaultdict[tuple[Route, str, int], int] = defaultdict(int)
        self._looked_up: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._stale = Counter("contact_image_stale", "Answers that may be old.", registry=registry)
        self._collapsed = Counter("contact_image_collapsed", "Requests that waited for another's.", registry=registry)
        self._purges = Counter("contact_image_purges", "Purges that were asked for here.", registry=registry)
        self._store_reads = Counter("contact_image_store_reads", "Times the store was asked.", registry=registry)
        self._started = Counter("contact_image_renders_started", "Renders begun for requests.", registry=registry)
        self._ended = {
            "finished": Counter("contact_image_renders_finished", "Renders that gave a picture.", registry=registry),
            "failed": Counter("contact_image_renders_failed", "Renders that gave an error.", registry=registry),
            "refused": Counter("contact_image_renders_refused", "Renders of a size that cannot be.", registry=registry),
            "timed_out": Counter("contact_image_renders_timed_out", "Renders past their time.", registry=registry),
        }
        self._first_frames = Counter(
            "contact_image_first_frames", "Animations past the budget, shown by one frame.", registry=registry
        )
        self._unwritable = Counter(
            "contact_image_renders_unwritable", "Sound pictures that a format's writer failed on.", registry=registry
        )
        self._unrenderable = Counter(
            "contact_image_unrenderable_placeholders",
            "Placeholders in place of pictures that cannot be rendered.",
            registry=registry,
        )
        self._from_mezzanines = Counter(
            "contact_image_renders_from_mezzanine", "Renders that left the original alone.", registry=registry
        )
        self._queued = Gauge(
            "contact_image_render_queue_depth",
            "Renders that wait for their turn.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def request(self, route: Route, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        known = method if method in _METHODS else "other"  # a client must not make label values
        self._answered[route, known, status] += 1
        self._durations[route].observe(seconds)

    def cache(self, layer: Layer, outcome: Lookup) -> None:
        self._looked_up[layer, outcome] += 1

    def stale_served(self) -> None:
        self._stale.inc()

    def collapsed(self) -> None:
        self._collapsed.inc()

    def purged(self) -> None:
        self._purges.inc()

    def store_read(self) -> None:
        self._store_reads.inc()

    def render_started(self) -> None:
        self._started.inc()

    def render_ended(self, outcome: Outcome) -> None:
        self._ended[outcome].inc()

    def mezzanine_used(self) -> None:
        self._from_mezzanines.inc()

    def first_frame(self) -> None:
        self._first_frames.inc()

    def unwritable(self) -> None:
        self._unwritable.inc()

    def stood_in(self) -> None:
        """A placeholder was the answer, since the picture cannot be rendered."""
        self._unrenderable.inc()

    def queued(self, count: int) -> None:
        self._queued.set(count)

    def post(self) -> None:
        """Bring what is counted in plain numbers, for it is counted on every hit, to where Prometheus reads."""
        for (route, method, status), count in self._answered.items():
            self._requests.labels(route, method, str(status)).inc(count)
        for (layer, outcome), count in self._looked_up.items():
            self._cache.labels(layer, outcome).inc(count)
        self._answered.clear()
        self._looked_up.clear()

    def text(self) -> bytes:
        """What was posted, of all processes that count together, in the exposition format, version 0.0.4."""
        registry = self.registry
        if _SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
