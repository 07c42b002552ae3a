"""`/healthz`, `/readyz` and `/metrics`: what the operator's machines ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from aiohttp import web
from multidict import CIMultiDict
from prometheus_client import CONTENT_TYPE_LATEST

from service.errors import N_, MethodNotAllowed, PictureError
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.ports import CacheUnavailable, OriginalStore, Renderer
from service.web.headers import common
from service.web.metrics import Metrics

log = structlog.get_logger()

_KEPT = 1.0
"""Seconds for which an answer is given again, so that eager probes cost nothing."""
_PATIENCE = 3.0
"""Seconds for each check."""


class Readiness:
    """Whether a picture asked for now would come: rendered, from the store, and by way of the cache or not."""

    def __init__(self, renderer: Renderer, store: OriginalStore, cache: PictureCache) -> None:
        self._checks: dict[str, Callable[[], Awaitable[object]]] = {
            "render": renderer.probe,
            "store": store.check,
            "cache": cache.check,
        }
        self._lock = asyncio.Lock()
        self._answer: dict[str, str] = {}
        self._asked_at = float("-inf")

    async def ask(self) -> dict[str, str]:
        """`ok` or `failed` for each part, and under `status` what follows: `ready`, `degraded` or `unready`."""
        async with self._lock:
            if time.monotonic() - self._asked_at > _KEPT:
                results = await asyncio.gather(*(self._check(name) for name in self._checks))
                answer = dict(zip(self._checks, results, strict=True))
                if answer["render"] != "ok" or answer["store"] != "ok":
                    status = "unready"
                else:
                    status = "ready" if answer["cache"] == "ok" else "degraded"
                self._answer, self._asked_at = {"status": status, **answer}, time.monotonic()
            return self._answer

    async def _check(self, name: str) -> str:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._checks[name]()
        except (PictureError, CacheUnavailable, TimeoutError) as error:
            log.warning(
                "readiness.failed", part=name, reason=str(error) or "no answer in time", cause=repr(error.__cause__)
            )
            return "failed"
        return "ok"


READINESS = web.AppKey("readiness", Readiness)
METRICS = web.AppKey("metrics", Metrics)


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 while the event loop turns."""
    _read_only(request)
    return web.json_response({"status": "alive"}, headers=_headers())


async def readyz(request: web.Request) -> web.StreamResponse:
    """200 when pictures can be served, if without the cache; else 503."""
    _read_only(request)
    answer = await request.app[READINESS].ask()
    status = 503 if answer["status"] == "unready" else 200
    return web.json_response(answer, status=status, headers=_headers())


async def metrics(request: web.Request) -> web.StreamResponse:
    """Prometheus' exposition format."""
    _read_only(request)
    headers = _headers()
    headers["Content-Type"] = CONTENT_TYPE_LATEST
    request.app[METRICS].post()  # here, where it is counted: a thread would lose what is counted meanwhile
    text = await asyncio.to_thread(request.app[METRICS].text)  # of several processes it is read from files
    return web.Response(body=text, headers=headers)


async def posting(app: web.Application) -> AsyncIterator[None]:
    """A resource of *app*: that others see its counts, a second late at most."""

    async def post() -> None:
        while True:
            await asyncio.sleep(_KEPT)
            app[METRICS].post()

    task = asyncio.create_task(post())
    yield
    task.cancel()
    app[METRICS].post()


def _headers() -> CIMultiDict[str]:
    headers = common(None, None)
    headers["Cache-Control"] = "no-store"
    return headers


def _read_only(request: web.Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(N_("This resource answers %(allowed)s only."), {"allowed": "GET, HEAD"})
