"""The resources for operators at an address of their own, without credentials: metrics, and the parts of readiness."""

from __future__ import annotations

from aiohttp import web

from service.web.health import healthz, metrics, readyz
from service.web.keys import METRICS, READINESS


def operators_application(app: web.Application) -> web.Application:
    """Return the application that shows operators how *app*, which has started, is."""
    apart = web.Application()
    apart[METRICS], apart[READINESS] = app[METRICS], app[READINESS]
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        apart.router.add_get(path + "{_end:/?}", handler)
    return apart
