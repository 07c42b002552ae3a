"""The spans of one sampled request, by OpenTelemetry: a root, and a child for each step that its `Trace` notes.

Only an application whose requests are traced imports this module.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import aiohttp
from multidict import CIMultiDict
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from service.pictures.ports import Layer
from service.pictures.trace import Trace

PROPAGATOR = TraceContextTextMapPropagator()
"""Reads and writes the header fields `traceparent` and `tracestate` (W3C Trace Context)."""

Attributes = Mapping[str, str | int | bool]


class Recording:
    """The root span of one request, and what makes its children.

    `sampled` says whether they are sent, `has_steps` whether there are children, and `is_routed` whether the request
    went to the router.
    """

    def __init__(self, tracer: Tracer, span: Span, shift: int) -> None:
        self._tracer, self._span, self._shift = tracer, span, shift
        self._as_parent = set_span_in_context(span, Context())
        self.sampled = span.is_recording()
        self.has_steps = self.is_routed = False

    @property
    def trace_id(self) -> str:
        """The id of the trace in hexadecimal digits."""
        return format_trace_id(self._span.get_span_context().trace_id)

    def step(
        self, name: str, begun: float, ended: float, attributes: Attributes | None = None, within: Context | None = None
    ) -> Context:
        """Make the span of a step between two times of `time.perf_counter`. Return it as the parent of others."""
        self.has_steps = True
        span = self._tracer.start_span(
            f"contact_image.{name}",
            within or self._as_parent,
            attributes=attributes,
            start_time=self._unix(begun),
        )
        span.end(self._unix(ended))
        return set_span_in_context(span, Context())

    def sending(self, method: str, url: URL, headers: CIMultiDict[str]) -> Span:
        """Return the begun span of a request to another server, and add its context to *headers*."""
        self.has_steps = True
        attributes: Attributes = {"http.request.method": method, "server.address": url.host or ""}
        span = self._tracer.start_span(method, self._as_parent, kind=SpanKind.CLIENT, attributes=attributes)
        PROPAGATOR.inject(headers, set_span_in_context(span, Context()))
        return span

    def end(self, method: str, route: str, status: int | None, size: int, error: str = "") -> None:
        """End the root span. *status* is None without an answer; *route* is empty for unknown paths."""
        if not self.sampled:
            return
        self._span.update_name(f"{method} {route}" if route else method)
        if route:
            self._span.set_attribute("http.route", route)
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
            self._span.set_attribute("http.response.body.size", size)
        if error := error or (str(status) if status is not None and status >= 500 else ""):
            self._span.set_attribute("error.type", error)
        if status is not None and status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _unix(self, moment: float) -> int:
        """Return nanoseconds of Unix time for a time of `time.perf_counter`."""
        return int(moment * 1e9) + self._shift


class RecordedTrace(Trace):
    """A trace whose steps become spans of a *recording*."""

    __slots__ = ("_parts", "_recording")

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording, self._parts = recording, (0.0, 0.0)

    def add(self, name: str, begun: float, *, shared: bool = False) -> None:
        super().add(name, begun, shared=shared)
        ended = time.perf_counter()
        layer: Layer = "shared" if shared else "memory"
        step = self._recording.step(name, begun, ended, {"contact_image.layer": layer} if name == "cache" else None)
        if name == "render" and any(self._parts):
            (decoding, encoding), self._parts = self._parts, (0.0, 0.0)
            encode = max(begun, ended - encoding)  # a process that a picture has taken over reports what it likes
            self._recording.step("decode", max(begun, encode - decoding), encode, within=step)
            self._recording.step("encode", encode, ended, within=step)

    def beside(self, name: str, begun: float) -> None:
        self._recording.step(name, begun, time.perf_counter())

    def rendered(self, decoding: float, encoding: float) -> None:
        self._parts = decoding, encoding


RECORDING: ContextVar[Recording | None] = ContextVar("recording", default=None)
"""The recording of the request that the current task answers."""


def new_trace() -> Trace:
    """Return the trace of the request that the current task answers. Its steps become spans if it is sampled."""
    recording = RECORDING.get()
    return RecordedTrace(recording) if recording is not None and recording.sampled else Trace()


def outgoing() -> aiohttp.TraceConfig:
    """Return the hooks that make a span of each request of a verifier for a sampled request, and send its context."""

    async def begin(_: aiohttp.ClientSession, sent: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        recording = RECORDING.get()
        if recording is not None and recording.sampled:
            sent.span = recording.sending(params.method, params.url, params.headers)
        else:
            sent.span = None

    async def end(_: aiohttp.ClientSession, sent: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        if sent.span is not None:
            sent.span.set_attribute("http.response.status_code", params.response.status)
            sent.span.end()

    async def fail(
        _: aiohttp.ClientSession, sent: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if sent.span is not None:
            sent.span.set_attribute("error.type", type(params.exception).__name__)
            sent.span.set_status(StatusCode.ERROR)
            sent.span.end()

    config: Any = aiohttp.TraceConfig()
    config.on_request_start.append(begin)
    config.on_request_end.append(end)
    config.on_request_exception.append(fail)
    return config  # type: ignore[no-any-return]
