"""The cache of pictures: process memory, and a Redis or Valkey server, which may be a private one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

from aiohttp import web

from service.caches.embedded import EmbeddedValkey
from service.caches.redis import RedisCache
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.ports import Lookup, SharedCache
from service.settings import CacheSettings, Settings
from service.web.keys import CACHE, METRICS
from service.wiring.lifetimes import max_wait
from service.wiring.private_server import private_server, with_private_server

LEASE = 2.0
"""Seconds until the lease of a leader that has died ends. A leader renews the lease while it renders."""
_LEAST_INDEX = 8_388_608
"""Bytes of the index of repeats at least."""


async def caches(
    app: web.Application, settings: Settings, given: SharedCache | None, started: EmbeddedValkey | None
) -> AsyncIterator[None]:
    """Give *app* its cache, over the shared cache that is *given* or that *settings* describe, and close it at the end.

    *started* is the private server, if it has been started already.
    """
    embedded = await private_server(settings.cache, started) if given is None else None
    if embedded is not None:
        settings = with_private_server(settings, embedded)
    cache = settings.cache
    shared = given or (redis_cache(settings, partial(app[METRICS].cache, "shared")) if cache.url else None)
    app[CACHE] = picture_cache = PictureCache(
        shared,
        app[METRICS],
        memory_bytes=max(0, cache.memory_bytes - index_bytes(cache)),
        max_body=cache.max_entry_bytes,
        max_wait=max_wait(settings),
    )
    gauges = app[METRICS].gauges
    gauges.watch("memory_cache_entries", lambda: picture_cache.usage().entries)
    gauges.watch("memory_cache_bytes", lambda: picture_cache.usage().size)
    gauges.watch("memory_cache_limit_bytes", lambda: picture_cache.usage().limit)
    gauges.watch("cache_up", lambda: picture_cache.subscribed)
    gauges.watch("purges_owed", lambda: picture_cache.purges_owed)
    gauges.watch("breaker_open", lambda: picture_cache.breaker_open, "cache")
    gauges.count(app[METRICS].evictions, lambda: picture_cache.usage().evictions)
    if embedded is not None:
        gauges.watch_processes("cache", lambda: embedded.pids)
    keeping = asyncio.create_task(embedded.keep()) if embedded is not None else None
    await picture_cache.start()
    yield
    await picture_cache.close()
    if embedded is not None and keeping is not None:
        keeping.cancel()
        await embedded.stop()


def redis_cache(settings: Settings, count: Callable[[Lookup], None] = lambda outcome: None) -> RedisCache:
    """Return the cache of *settings*. The caller closes it. *count* is called with what strangers have left there."""
    return RedisCache(
        settings.cache.url.get_secret_value(),
        secret=settings.cache.secret.get_secret_value(),
        prefix=settings.cache.prefix,
        timeout=settings.cache.timeout,
        max_body=settings.cache.max_entry_bytes,
        max_fields=settings.cache.max_fields,
        lease=LEASE,
        fence=settings.images.timeout + 4 * settings.render.timeout,
        count=count,
    )


def index_bytes(settings: CacheSettings) -> int:
    """Return the bytes of the index of repeats: a share of the memory cache, and enough to answer from Redis alone."""
    return max(settings.memory_bytes // 4, _LEAST_INDEX)
