"""What happens to one request: the durations of its steps, and the outcome of its lookups."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

from service.pictures.demand import Client, Demand
from service.pictures.values import Entry, Owner

Source = Literal["memory", "shared", "store", "render", "collapsed"]
"""Where a picture came from; `collapsed`: from another request's render or read."""


class Trace:
    """A record of one request, filled while it is answered. Durations are in seconds.

    *client* is the one that waits for the answer, if it is known.
    """

    __slots__ = (
        "begin_by",
        "client",
        "collapsed",
        "demand",
        "found",
        "fwd",
        "owner",
        "pixels",
        "seconds",
        "shared",
        "stored",
        "ttl",
        "unanswered",
        "unknown",
    )

    def __init__(self, client: Client | None = None) -> None:
        self.client = client
        self.demand: Demand | None = None  # the clients that wait for what this request has made; None: unknown
        self.owner: Owner | None = None  # of what this request has made
        self.pixels = 0  # of the original and of the rendition together, if this request has one made
        self.seconds: dict[str, float] = {}
        self.fwd: str | None = None  # RFC 9211 section 2.2: why the store or the renderer was used; None: it was not
        self.collapsed = False
        self.shared = False  # the shared cache was asked
        self.stored = False
        self.ttl: int | None = None
        self.unanswered = 0  # lookups that the shared cache did not answer
        self.begin_by: float | None = None  # monotonic seconds at which an accepted order is refused if it only waits
        self.found: tuple[str, Entry | None] | None = None  # a field that was looked up with the record, and its entry
        self.unknown = False  # the contact has no record, so its other entries are not looked up

    @property
    def source(self) -> Source:
        """Where the picture came from: the last part of the service that was asked for it."""
        if self.collapsed:
            return "collapsed"
        if "render" in self.seconds:
            return "render"
        if "store" in self.seconds:
            return "store"
        return "shared" if self.shared else "memory"

    def wait_limit(self, usual: float) -> float:
        """Return the seconds that may pass until the render begins: *usual* if the request has no limit of its own."""
        return usual if self.begin_by is None else min(usual, max(0.0, self.begin_by - time.monotonic()))

    def begin(self) -> None:
        """Note that the render has begun: another try, or another render for the same order, has the usual limit."""
        if self.begin_by is not None:
            self.begin_by = math.inf

    def add(self, name: str, begun: float, *, shared: bool = False) -> None:
        """Add the seconds since *begun*, which is from `time.perf_counter`, to the time of *name*.

        *shared*: it was a call of the shared cache.
        """
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun
        self.shared = self.shared or shared

    def beside(self, name: str, begun: float) -> None:
        """Note a step since *begun* that no answer waits for. It is no part of the durations."""

    def rendered(self, decoding: float, encoding: float) -> None:
        """Note the seconds that the render process reports of the render that is under way."""

    def timed(self, name: str) -> _Timed:
        """Return a context manager that adds the duration of its block to the time of *name*."""
        return _Timed(self, name)


NewTrace = Callable[[], Trace]
"""Returns the trace of a request. Where requests are traced, it makes spans of the steps of a sampled one."""


class _Timed:
    """A timed `with` block. It is a class because a generator takes four times as long, on every hit."""

    __slots__ = ("_begun", "_name", "_trace")

    def __init__(self, trace: Trace, name: str) -> None:
        self._trace, self._name = trace, name

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._trace.add(self._name, self._begun)
