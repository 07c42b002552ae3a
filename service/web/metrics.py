"""What is counted, under the names that Prometheus reads. Implements the use case's `Observer`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.pictures.ports import Layer, Lookup, Outcome

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry a process. Children are bound once where they are hot."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "contact_image_requests", "Requests answered.", ["method", "status"], registry=registry
        )
        self._duration = Histogram(
            "contact_image_request_duration_seconds", "From request to answer.", buckets=_BUCKETS, registry=registry
        )
        self._cache = Counter(
            "contact_image_cache", "Look-ups by layer and outcome.", ["layer", "outcome"], registry=registry
        )
        self._requests_bound: dict[tuple[str, int], Counter] = {}
        self._cache_bound: dict[tuple[str, str], Counter] = {}
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
        self._from_mezzanines = Counter(
            "contact_image_renders_from_mezzanine", "Renders that left the original alone.", registry=registry
        )
        self._queued = Gauge("contact_image_render_queue_depth", "Renders that wait for their turn.", registry=registry)

    def request(self, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        known = method if method in ("GET", "HEAD", "OPTIONS") else "other"  # a client must not make label values
        child = self._requests_bound.get((known, status))
        if child is None:
            child = self._requests_bound[known, status] = self._requests.labels(known, str(status))
        child.inc()
        self._duration.observe(seconds)

    def cache(self, layer: Layer, outcome: Lookup) -> None:
        child = self._cache_bound.get((layer, outcome))
        if child is None:
            child = self._cache_bound[layer, outcome] = self._cache.labels(layer, outcome)
        child.inc()

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

    def queued(self, count: int) -> None:
        self._queued.set(count)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self.registry)
