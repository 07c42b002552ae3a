"""Handlers for all methods of a path, which answer OPTIONS and refuse the methods that the path does not have."""

from __future__ import annotations

from aiohttp import web

from service.errors import N_, MethodNotAllowed
from service.web.headers import common
from service.web.keys import CORS
from service.web.request_values import Handler


def by_method(**handlers: Handler) -> Handler:
    """Return a handler that calls one of *handlers*, by the request's method, and answers OPTIONS itself."""
    allowed = ", ".join((*handlers, "OPTIONS"))

    async def handle(request: web.Request) -> web.StreamResponse:
        handler = handlers.get(request.method)
        if handler is not None:
            return await handler(request)
        if request.method != "OPTIONS":
            raise _not_allowed(allowed)
        headers = common(None, None)
        headers["Allow"] = allowed
        headers.update(request.app[CORS].preflight(request.headers, allowed))
        return web.Response(status=204, headers=headers)

    return handle


def read_only(handler: Handler) -> Handler:
    """Return a handler that calls *handler* for GET and HEAD, and refuses all other methods."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise _not_allowed("GET, HEAD")
        return await handler(request)

    return handle


def _not_allowed(allowed: str) -> MethodNotAllowed:
    return MethodNotAllowed(N_("This resource answers %(allowed)s only."), {"allowed": allowed})
