"""The sampling of requests, and the fast path that makes their spans (`web.spans`).

Only an application whose requests are traced imports this module. The query of a target may be signed, and so is in no
span.
"""

from __future__ import annotations

import asyncio
import re
import time
from random import random

from aiohttp import web
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDictProxy
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer
from yarl import URL

from service.pictures.ports import Layer
from service.web.client_address import Networks, is_in, peer_address
from service.web.connections import ClientLeft
from service.web.direct import USUAL
from service.web.fast_path import FastPath
from service.web.prebuilt import PrebuiltResponse
from service.web.request_ids import TRACE_ID
from service.web.request_values import METHODS, ServerHandler
from service.web.requester import Requester
from service.web.spans import PROPAGATOR, RECORDING, Recording

_PARENT, _STATE = "traceparent", "tracestate"
_MOST_PARENT, _MOST_STATE = 128, 512
"""Characters of the fields of a trace's context at most. Longer ones are ignored."""
_MOST_PATH = 256
"""Characters of a path in a span at most."""
_UNKNOWN_METHOD = "_OTHER"
_GROUP = re.compile(r"\(\?P<(\w+)>(?:\(\?i:([^)]*)\))?")
"""A variable part of a path, and what it spells if it is fixed but for case: see `web.routes`."""


class Tracing:
    """Samples a *ratio* of all requests, and begins their spans by *tracer*. *proxies* sample their own requests."""

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
        """Return the recording of a request that is sampled, or belongs to the trace of a trusted proxy; else None."""
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
        return PROPAGATOR.extract(carrier, Context()) or None


class TracedFastPath(FastPath):
    """A fast path whose requests are traced by *tracing*."""

    def __init__(self, tracing: Tracing, app: web.Application, handler: ServerHandler) -> None:
        async def route(request: web.BaseRequest) -> web.StreamResponse:
            if (recording := RECORDING.get()) is not None:
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
        # The sampling comes after the answer is made, so a request that is not sampled costs one random number.
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
        RECORDING.set(recording)
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
        recording = RECORDING.get()
        if response is not None and recording is not None and recording.sampled:
            recording.step("follow", begun, time.perf_counter())
        return response

    def _counted(self, request: web.BaseRequest, response: PrebuiltResponse, begun: float) -> web.StreamResponse:
        recording = RECORDING.get()
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
