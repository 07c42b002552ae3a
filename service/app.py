"""The only composition root: settings in, adapters made and wired, an application out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import asdict
from hashlib import blake2b

import structlog
from aiohttp import web

from service.caches.embedded import CannotEmbed, EmbeddedValkey
from service.caches.memory import MemoryCache
from service.caches.redis import RedisCache
from service.imaging.order import Encoding, Limits
from service.imaging.render import encoder_versions
from service.pictures.contact_pictures import ContactPictures, Lifetimes, Recipe
from service.pictures.mezzanines import Mezzanines
from service.pictures.ports import OriginalStore, Renderer, RenditionCache
from service.pictures.tiers import Tiers
from service.protocol.languages import Languages
from service.rendering.pool import RenderPool
from service.settings import CacheSettings, HttpSettings, RenderSettings, Settings
from service.stores.directory import DirectoryStore
from service.web.handlers import LANGUAGES, MANNERS, PICTURES, REPEATS, Manners
from service.web.headers import CacheControl
from service.web.health import METRICS, READINESS, Readiness
from service.web.metrics import Metrics
from service.web.repeats import Repeats
from service.web.routes import add_routes

log = structlog.get_logger()

_FIRSTS = 2
"""First renders of a picture that may outrun their time before it is refused; who waits for them waits so long."""

STORE = web.AppKey("store", OriginalStore)
CACHE = web.AppKey("cache", Tiers)
RENDERER = web.AppKey("renderer", Renderer)


def create_app(
    settings: Settings,
    *,
    store: OriginalStore | None = None,
    cache: RenditionCache | None = None,
    renderer: Renderer | None = None,
) -> web.Application:
    """The whole service. What is given stands in for what the settings would make, and is closed with the rest."""
    app = web.Application()
    app[METRICS] = Metrics()
    app[LANGUAGES] = Languages.load()
    app[MANNERS] = Manners(
        cache_control(settings.http),
        settings.render.preferred,
        settings.render.max_dimension,
        settings.server.write_timeout,
        settings.http.retry_after,
    )
    app.cleanup_ctx.append(lambda app: _renderer(app, settings.render, renderer))
    app.cleanup_ctx.append(lambda app: _store(app, settings, store))
    app.cleanup_ctx.append(lambda app: _cache(app, settings.cache, cache))
    app.cleanup_ctx.append(lambda app: _pictures(app, settings))
    add_routes(app)
    return app


async def _renderer(app: web.Application, settings: RenderSettings, given: Renderer | None) -> AsyncIterator[None]:
    if given is None:
        workers = settings.workers or _cores()
        given = pool = RenderPool(
            app[METRICS],
            workers=workers,
            queue=settings.queue,
            timeout=settings.timeout,
            memory_bytes=settings.memory_bytes,
        )
        pool.open()
    app[RENDERER] = given
    yield
    await given.close()


async def _store(app: web.Application, settings: Settings, given: OriginalStore | None) -> AsyncIterator[None]:
    app[STORE] = given or directory_store(settings)
    yield
    await app[STORE].close()


async def _cache(app: web.Application, settings: CacheSettings, given: RenditionCache | None) -> AsyncIterator[None]:
    embedded: EmbeddedValkey | None = None
    url = settings.url.get_secret_value()
    if given is None and not url:
        try:
            embedded = EmbeddedValkey.start(settings.embedded_bytes)
            await embedded.ready()
            url = embedded.url
        except CannotEmbed as error:
            log.warning("cache.memory_only", reason=str(error))
    app[CACHE] = tiers = Tiers(
        MemoryCache(settings.memory_bytes),
        given or (redis_cache(settings, url) if url else None),
        app[METRICS],
        timeout=settings.timeout,
        put_timeout=settings.put_timeout,
        max_body=settings.max_entry_bytes,
    )
    yield
    await tiers.close()
    if embedded is not None:
        await embedded.stop()


async def _pictures(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    made = recipe(settings)
    mezzanines = Mezzanines(
        app[CACHE],
        app[RENDERER],
        app[METRICS],
        digest=made.digest,
        kept_for=settings.cache.mezzanine_for,
        queue=settings.render.queue,
        patience=_FIRSTS * settings.render.timeout + 1.0,
    )
    app[PICTURES] = pictures = ContactPictures(
        app[STORE],
        app[CACHE],
        app[RENDERER],
        app[METRICS],
        recipe=made,
        mezzanines=mezzanines,
        lifetimes=Lifetimes(settings.cache.fresh_for, settings.cache.missing_for, settings.cache.unrenderable_for),
    )
    app[REPEATS] = Repeats(pictures)
    app[READINESS] = Readiness(app[RENDERER], app[STORE], app[CACHE])
    yield
    await pictures.close()


def _cores() -> int:
    """The cores that this process may use, where the system tells; else all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def directory_store(settings: Settings) -> DirectoryStore:
    """The store of *settings*, closed by the caller."""
    return DirectoryStore(
        settings.images.directory, max_bytes=settings.images.max_bytes, timeout=settings.images.timeout
    )


def redis_cache(settings: CacheSettings, url: str) -> RedisCache:
    """The cache at *url*, closed by the caller."""
    return RedisCache(
        url,
        prefix=settings.prefix,
        timeout=settings.timeout,
        put_timeout=settings.put_timeout,
        connections=settings.connections,
        kept_for=settings.kept_for,
        mezzanine_for=settings.mezzanine_for,
        max_fields=settings.max_fields,
    )


def recipe(settings: Settings) -> Recipe:
    """How to render, and the digest of all that decides a rendition's bytes: part of every ETag and cache field."""
    render = settings.render
    limits = Limits(
        max_pixels=render.max_pixels,
        max_decoded_bytes=render.max_decoded_bytes,
        max_frames=render.max_frames,
        max_animation_pixels=render.max_animation_pixels,
        max_dimension=render.max_dimension,
        enlarge=render.enlarge,
    )
    encoding = Encoding(**settings.encoding.model_dump())
    shaping = f"{asdict(limits)}{asdict(encoding)}{encoder_versions()}"
    digest = blake2b(shaping.encode(), digest_size=4).hexdigest()
    return Recipe(limits, encoding, digest, as_stored=settings.images.as_stored == "verbatim")


def cache_control(http: HttpSettings) -> CacheControl:
    """The lifetimes as `Cache-Control` tells them."""
    return CacheControl(
        picture=(
            f"public, max-age={http.max_age}, s-maxage={http.s_maxage}, "
            f"stale-while-revalidate={http.stale_while_revalidate}, stale-if-error={http.stale_if_error}"
        ),
        placeholder=f"public, max-age={http.placeholder_max_age}",
        missing=f"public, max-age={http.missing_max_age}",
    )
