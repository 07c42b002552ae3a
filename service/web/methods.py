"""One handler for a path: it knows the methods that there are, and refuses the others."""

from __future__ import annotations

from aiohttp import web

from service.errors import N_, MethodNotAllowed
from service.web.cors import CORS
from service.web.headers import common
from service.web.security import Handler


def by_method(**handlers: Handler) -> Handler:
    """The handler that leads each method to its own, and answers OPTIONS itself."""
    allowed = ", ".join((*handlers, "OPTIONS"))

    async def handle(request: web.Request) -> web.StreamResponse:
        handler = handlers.get(request.method)
        if handler is not None:
            return await handler(request)
        if request.method != "OPTIONS":
            raise MethodNotAllowed(N_("This resource answers %(allowed)s only."), {"allowed": allowed})
        headers = common(None, None)
        headers["Allow"] = allowed
        headers.update(request.app[CORS].preflight(request.headers, allowed))
        return web.Response(status=204, headers=headers)

    return handle
