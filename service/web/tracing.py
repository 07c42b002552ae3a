"""Spans of sampled requests, by OpenTelemetry. Only an application whose requests are traced imports this module.

A request has one root span, and a child for each step that its `Trace` notes. The query of a target may be signed, and
so is in no span.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from random import random
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from service.pictures.ports import Layer
from service.pictures.trace import Trace
from service.web.client_address import Networks, is_in, peer_address
from service.web.connections import ClientLeft
from service.web.direct import USUAL
from service.web.fast_path import FastPath, Handler
from service.web.prebuilt import PrebuiltResponse
from service.web.request_ids import TRACE_ID
from service.web.request_values import METHODS
from service.web.requester import Requester

_PARENT, _STATE = "traceparent", "tracestate"
_MOST_PARENT, _MOST_STATE = 128, 512
"""Characters of the fields of a trace's context at most. Longer ones are ignored."""
_MOST_PATH = 256
"""Characters of a path in a span at most."""
_UNKNOWN_METHOD = "_OTHER"
_GROUP = re.compile(r"\(\?P<(\w+)>(?:\(\?i:([^)]*)\))?")
"""A variable part of a path, and what it spells if it is fixed but for case: see `web.routes`."""
_context = TraceContextTextMapPropagator()

Attributes = Mapping[str, str | int | bool]


class Recording:
    """The root span of one request, and what makes its children. *sampled*: they are sent.

    *is_routed*: the request went to the router.
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
        _context.inject(headers, set_span_in_context(span, Context()))
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


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)
"""The recording of the request that the current task answers."""


def new_trace() -> Trace:
    """Return the trace of the request that the current task answers. Its steps become spans if it is sampled."""
    recording = _recording.get()
    return RecordedTrace(recording) if recording is not None and recording.sampled else Trace()


class Tracing:
    """Draws a *ratio* of all requests, and begins their spans by *tracer*. *proxies* draw for theirs."""

    def __init__(self, tracer: Tracer, ratio: float, proxies: Networks) -> None:
        self._tracer, self._ratio, self._proxies = tracer, ratio, proxies

    def begin(
        self,
        method: str,
        url: URL,
        headers: CIMultiDictProxy[str],
        transport: asyncio.BaseTransport | None,
        begun: float,
    ) -> Recording | None:
        """Return the recording of a request that is drawn, or belongs to the trace of a trusted proxy; else None."""
        parent = self._parent(headers, transport) if _PARENT in headers else None
        if parent is None and random() >= self._ratio:
            return None
        shift = time.time_ns() - int(time.perf_counter() * 1e9)
        path = url.raw_path[:_MOST_PATH].encode("utf-8", "replace").decode()  # protobuf takes no surrogates
        span = self._tracer.start_span(
            method,
            parent or Context(),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.path": path},
            start_time=int(begun * 1e9) + shift,
        )
        return Recording(self._tracer, span, shift) if span.get_span_context().is_valid else None  # OTEL_SDK_DISABLED

    def _parent(self, headers: CIMultiDictProxy[str], transport: asyncio.BaseTransport | None) -> Context | None:
        """Return the context that a trusted proxy has sent, unless it is malformed or too long; else None."""
        if transport is None or not is_in(peer_address(transport), self._proxies):
            return None
        lines, state = headers.getall(_PARENT), ",".join(headers.getall(_STATE, ()))
        if len(lines) != 1 or len(lines[0]) > _MOST_PARENT:
            return None
        carrier = {_PARENT: lines[0]} | ({_STATE: state} if 0 < len(state) <= _MOST_STATE else {})
        return _context.extract(carrier, Context()) or None


class TracedFastPath(FastPath):
    """A fast path whose requests are traced by *tracing*."""

    def __init__(self, tracing: Tracing, app: web.Application, handler: Handler) -> None:
        async def route(request: web.BaseRequest) -> web.StreamResponse:
            if (recording := _recording.get()) is not None:
                recording.is_routed = True
            return await handler(request)

        super().__init__(app, route)
        self._tracing = tracing
        self._routes = {resource.canonical: _template(resource) for resource in app.router.resources()}
        (self._image,) = (route for route in self._routes.values() if route.endswith("/image"))

    def _write(
        self,
        transport: asyncio.WriteTransport,
        message: RawRequestMessage,
        response: PrebuiltResponse,
        begun: float,
        layer: Layer,
    ) -> None:
        # Nothing depends on the draw before the answer, so it costs other requests nothing.
        recording = self._tracing.begin(message.method, message.url, message.headers, transport, begun)
        if recording is not None and recording.sampled:
            recording.step("cache", begun, time.perf_counter(), {"contact_image.layer": layer})
        super()._write(transport, message, response, begun, layer)
        if recording is not None:
            recording.end(message.method, self._image, response.status, response.sent(message.method))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        method = request.method if request.method in METHODS else _UNKNOWN_METHOD
        recording = self._tracing.begin(
            method, request.rel_url, request.headers, request.transport, time.perf_counter()
        )
        _recording.set(recording)
        if recording is None:
            return await super().answer(request)
        TRACE_ID.set(recording.trace_id)
        try:
            response = await super().answer(request)
        except (ClientLeft, ConnectionError, asyncio.CancelledError) as error:
            recording.end(method, self._route(request, recording), None, 0, type(error).__name__)
            raise
        except Exception as error:  # the connection answers
            recording.end(method, self._route(request, recording), 500, 0, type(error).__name__)
            raise
        route = self._image if isinstance(response, PrebuiltResponse) else self._route(request, recording)
        size = response.sent(method) if isinstance(response, PrebuiltResponse) else response.content_length or 0
        recording.end(method, route, response.status, size)
        return response

    async def _follow(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        begun = time.perf_counter()
        response = await super()._follow(request, requester)
        recording = _recording.get()
        if response is not None and recording is not None and recording.sampled:
            recording.step("follow", begun, time.perf_counter())
        return response

    def _counted(self, request: web.BaseRequest, response: PrebuiltResponse, begun: float) -> web.StreamResponse:
        recording = _recording.get()
        if recording is not None and recording.sampled and not recording.has_steps:
            recording.step("cache", begun, time.perf_counter(), {"contact_image.layer": "memory"})
        return super()._counted(request, response, begun)

    def _route(self, request: web.BaseRequest, recording: Recording) -> str:
        """Return the route of *request* in the form of a template; an empty text for an unknown one."""
        if not recording.is_routed or not isinstance(request, web.Request):
            return self._image if USUAL.fullmatch(request.raw_path) else ""
        resource = request.match_info.route.resource
        return self._routes.get(resource.canonical, "") if resource is not None else ""


def _template(resource: web.AbstractResource) -> str:
    """Return the template of a *resource*, for example `/api/v1/contact/{contact}/image`; empty for any other path."""
    info = resource.get_info()
    if "pattern" not in info:
        return resource.canonical
    parts = dict(_GROUP.findall(info["pattern"].pattern))
    if "_anything" in parts:
        return ""
    return resource.canonical.format(
        **{name: f"{{{name}}}" if name[0] != "_" else text for name, text in parts.items()}
    )


def outgoing() -> aiohttp.TraceConfig:
    """Return what makes spans of the requests that verifiers send for a sampled request, and tells them its trace."""

    async def begin(_: aiohttp.ClientSession, sent: SimpleNamespace, of: aiohttp.TraceRequestStartParams) -> None:
        recording = _recording.get()
        sampled = recording is not None and recording.sampled
        sent.span = recording.sending(of.method, of.url, of.headers) if recording is not None and sampled else None

    async def end(_: aiohttp.ClientSession, sent: SimpleNamespace, of: aiohttp.TraceRequestEndParams) -> None:
        if sent.span is not None:
            sent.span.set_attribute("http.response.status_code", of.response.status)
            sent.span.end()

    async def fail(_: aiohttp.ClientSession, sent: SimpleNamespace, of: aiohttp.TraceRequestExceptionParams) -> None:
        if sent.span is not None:
            sent.span.set_attribute("error.type", type(of.exception).__name__)
            sent.span.set_status(StatusCode.ERROR)
            sent.span.end()

    config: Any = aiohttp.TraceConfig()
    config.on_request_start.append(begin)
    config.on_request_end.append(end)
    config.on_request_exception.append(fail)
    return config  # type: ignore[no-any-return]
