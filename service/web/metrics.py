"""The metrics that Prometheus collects. `Metrics` implements the port `Observer` of `service.pictures`."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
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

from service.errors import PictureError
from service.formats import Format
from service.line_queue import STANDARD_ERROR
from service.pictures.ports import Layer, Lookup, MadeFrom, Outcome, Stage
from service.system.threads import hung_calls
from service.web.durations import ANSWER_BUCKETS, AnswerDurations, Durations
from service.web.gauges import Gauges
from service.web.request_values import METHODS
from service.web.scrapes import Scrapes

Route = Literal["image", "imageinfo", "healthz", "readyz", "metrics", "page", "agent", "other"]
"""The values of the label `route`. `other` counts requests to unknown paths and malformed ones."""

_STAGE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Seconds: the upper bounds of the buckets of stages. A lookup in Redis has 0.03 s."""
_RENDER_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Seconds: the upper bounds of the buckets of renders. They are few, since there are many formats."""
_LIBRARIES = ("aiohttp", "pillow", "moka-py", "redis")
"""Packages whose versions the build info has."""
_MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with the folder in which prometheus_client counts, in one file for each process."""


class Metrics:
    """The metrics of one process. Those that change on hits and misses are plain numbers until `flush`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # otherwise every series has a second one, `_created`
        self.registry = registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        self._requests = counter("contact_image_requests", "Requests answered.", ["route", "method", "status"])
        histogram = partial(Histogram, registry=registry)
        duration = histogram(
            "contact_image_request_duration_seconds",
            "Seconds from request to answer.",
            ["route"],
            buckets=ANSWER_BUCKETS,
        )
        sent = counter("contact_image_sent_bytes", "Bytes of the bodies of answers.", ["route"])
        self._routes = {route: AnswerDurations(duration.labels(route), sent.labels(route)) for route in get_args(Route)}
        self._refusals = counter("contact_image_refusals", "Requests refused, by the kind of the error.", ["kind"])
        self._refused: defaultdict[str, int] = defaultdict(int)
        self._abandoned = counter("contact_image_abandoned", "Requests whose clients left before the answer.")
        self._cache = counter("contact_image_cache", "Look-ups by layer and outcome.", ["layer", "outcome"])
        for outcome in get_args(Lookup):
            self._cache.labels("shared", outcome)  # a series that begins with its first event shows no increase
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
        self._render = histogram(
            "contact_image_render_duration_seconds",
            "Seconds of renders that returned a picture.",
            ["format", "source"],
            buckets=_RENDER_BUCKETS,
        )
        self._rendered: dict[tuple[Format, MadeFrom], Durations] = {}
        stage = histogram(
            "contact_image_stage_duration_seconds",
            "Seconds of waits for a render process, and of calls of the store, the shared cache and SuperOffice.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
        )
        self._stages = {name: Durations(stage.labels(name), _STAGE_BUCKETS) for name in get_args(Stage)}
        self._restarts = counter(
            "contact_image_process_restarts", "Processes started in place of others that died.", ["process"]
        )
        for kind in ("serve", "render"):
            self._restarts.labels(kind)
        self.evictions = counter("contact_image_memory_cache_evictions", "Entries dropped from the memory cache.")
        self.gauges = Gauges(registry)
        self.gauges.count(
            counter("contact_image_log_dropped", "Lines of the log that were dropped."), lambda: STANDARD_ERROR.dropped
        )
        self.spans_dropped = counter(
            "contact_image_trace_spans_dropped",
            "Spans that were not sent, or not taken.",
        )
        self._sandbox = Gauge(
            "contact_image_render_sandbox",
            "Layers of the sandbox of render processes.",
            ["layer"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.scrapes = Scrapes(self.flush, self.text)
        self._waiting = 0
        self.gauges.watch("threads_hung", hung_calls)
        self.gauges.watch("render_queue_depth", lambda: self._waiting)
        self.gauges.watch_processes("serve", lambda: (os.getpid(),))
        _show_versions(registry)

    def request(self, route: Route, method: str, status: int, seconds: float, size: int) -> None:
        """Count a request that was answered in *seconds* with a body of *size* bytes."""
        label = method if method in METHODS else "other"  # clients must not create series
        self._answered[route, label, status] += 1
        self._routes[route].add_answer(seconds, size)

    def refused(self, error: PictureError) -> None:
        """Count a request that is answered with *error*."""
        self._refused[type(error).__name__] += 1

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

    def rendered(self, format: Format, made_from: MadeFrom, seconds: float) -> None:
        durations = self._rendered.get((format, made_from))
        if durations is None:
            durations = Durations(self._render.labels(format.name.lower(), made_from), _RENDER_BUCKETS)
            self._rendered[format, made_from] = durations
        durations.add(seconds)

    def took(self, stage: Stage, seconds: float) -> None:
        self._stages[stage].add(seconds)

    def render_process_died(self) -> None:
        self._restarts.labels("render").inc()

    def started_again(self) -> None:
        """Count this process, which serves in place of one that died."""
        self._restarts.labels("serve").inc()

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
        for counter, count in self._happened.items():
            counter.inc(count)
        for kind, count in self._refused.items():
            self._refusals.labels(kind).inc(count)
        for durations in (*self._routes.values(), *self._rendered.values(), *self._stages.values()):
            durations.flush()
        for counts in (self._answered, self._looked_up, self._happened, self._refused):
            counts.clear()
        self.gauges.read()

    def text(self) -> bytes:
        """Return the flushed metrics of all processes in the exposition format, version 0.0.4."""
        registry = self.registry
        if _MULTIPROCESS_DIRECTORY in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _show_versions(registry: CollectorRegistry) -> None:
    """Make the gauge whose labels are the versions of the service, of Python and of some libraries."""
    versions = {name.replace("-", "_"): version(name) for name in _LIBRARIES}
    labels = {"version": version("contact-image"), "python": platform.python_version(), **versions}
    Gauge(
        "contact_image_build_info",
        "1, with the versions as labels.",
        list(labels),
        registry=registry,
        multiprocess_mode="mostrecent",
    ).labels(**labels).set(1)
