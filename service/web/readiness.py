"""Whether the service can answer requests for pictures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from service.errors import PictureError
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.ports import CacheUnavailable, OriginalStore, Renderer

log = structlog.get_logger()

_KEPT_FOR = 1.0
"""Seconds for which a result is used again, so that frequent probes cost nothing."""
_CHECK_TIMEOUT = 3.0
"""Seconds for each check."""


class Readiness:
    """Checks the renderer, the store and the cache. Without the cache the service is degraded, but ready."""

    def __init__(self, renderer: Renderer, store: OriginalStore, cache: PictureCache) -> None:
        self._checks: dict[str, Callable[[], Awaitable[object]]] = {
            "render": renderer.probe,
            "store": store.check,
            "cache": cache.check,
        }
        self._lock = asyncio.Lock()
        self._result: dict[str, str] = {}
        self._checked_at = float("-inf")
        self._draining = False

    def drain(self) -> None:
        """Report from now on that the service stops, so that no new clients are sent to it."""
        self._draining = True

    async def check(self) -> dict[str, str]:
        """Return `ok` or `failed` for each part, and as `status` one of `ready`, `degraded` and `unready`.

        Of a service that stops, return the `status` `draining` only.
        """
        if self._draining:
            return {"status": "draining"}
        async with self._lock:
            if time.monotonic() - self._checked_at > _KEPT_FOR:
                results = await asyncio.gather(*(self._check(name) for name in self._checks))
                parts = dict(zip(self._checks, results, strict=True))
                if parts["render"] != "ok" or parts["store"] != "ok":
                    status = "unready"
                else:
                    status = "ready" if parts["cache"] == "ok" else "degraded"
                self._result, self._checked_at = {"status": status, **parts}, time.monotonic()
            return self._result

    async def _check(self, name: str) -> str:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT):
                await self._checks[name]()
        except (PictureError, CacheUnavailable, TimeoutError) as error:
            log.warning(
                "readiness.failed", part=name, reason=str(error) or "no answer in time", cause=repr(error.__cause__)
            )
            return "failed"
        return "ok"
