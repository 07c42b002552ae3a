"""`/healthz`, `/readyz` and `/metrics`, which orchestrators and Prometheus request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from service.web.headers import uncached
from service.web.keys import METRICS, READINESS

_FLUSH_INTERVAL = 1.0
"""Seconds between two flushes of the counts, after which the other processes can show them."""


async def healthz(_: web.Request) -> web.StreamResponse:
    """Answer 200 while the event loop runs."""
    return web.json_response({"status": "alive"}, headers=uncached())


async def readyz(request: web.Request) -> web.StreamResponse:
    """Answer 200 if pictures can be served, with or without the cache. Answer 503 if not, or if the service stops."""
    return _readiness(await request.app[READINESS].check())


async def readyz_in_a_word(request: web.Request) -> web.StreamResponse:
    """Answer as `readyz`, with the status and without the parts."""
    result = await request.app[READINESS].check()
    return _readiness({"status": result["status"]})


def _readiness(result: dict[str, str]) -> web.StreamResponse:
    status = 200 if result["status"] in ("ready", "degraded") else 503
    return web.json_response(result, status=status, headers=uncached())


async def metrics(request: web.Request) -> web.StreamResponse:
    """Answer with the metrics in Prometheus' exposition format."""
    headers = uncached()
    headers["Content-Type"] = CONTENT_TYPE_LATEST
    return web.Response(body=await request.app[METRICS].scrapes.next_text(), headers=headers)


async def flush_metrics(app: web.Application) -> AsyncIterator[None]:
    """Flush the metrics of *app* regularly while it runs, so that the other processes can show them."""

    async def flush() -> None:
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL)
            app[METRICS].flush()

    task = asyncio.create_task(flush())
    yield
    task.cancel()
    app[METRICS].flush()
