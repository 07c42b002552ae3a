"""The resources for operators at an address of their own, without credentials: metrics, and the parts of readiness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from service.web.health import healthz, metrics, readyz
from service.web.hosts import Hosts
from service.web.keys import METRICS, READINESS


def operators_application(app: web.Application, hosts: Hosts) -> web.Application:
    """Return the application that shows operators how *app*, which has started, is, by names of *hosts*."""

    @web.middleware
    async def of_served_host(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not hosts.serves(request):
            raise web.HTTPMisdirectedRequest
        return await handler(request)

    apart = web.Application(middlewares=[of_served_host])
    apart[METRICS], apart[READINESS] = app[METRICS], app[READINESS]
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        apart.router.add_get(path + "{_end:/?}", handler)
    return apart
