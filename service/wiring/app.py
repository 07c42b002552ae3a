"""The only composition root: settings in, adapters made and wired, an application out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from hashlib import blake2b

import structlog
from aiohttp import web

from service.caches.embedded import CannotEmbed, EmbeddedValkey
from service.caches.redis import RedisCache
from service.errors import PictureError
from service.imaging.order import Encoding, Limits
from service.imaging.render import encoder_versions
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.contact_pictures import ContactPictures
from service.pictures.faults import FaultRecorder
from service.pictures.lifetimes import RecordLifetimes
from service.pictures.mezzanine_renderer import MezzanineRenderer
from service.pictures.originals import Originals
from service.pictures.ports import Renderer, SharedCache, WritableStore
from service.pictures.renditions import Renditions
from service.pictures.selection import Recipe
from service.pictures.writes import Writes
from service.protocol.languages import Languages
from service.rendering.pool import RenderPool
from service.rendering.slots import RenderSlots
from service.settings import CacheSettings, HttpSettings, ImagesSettings, RenderSettings, Settings
from service.stores.watch import Watch
from service.stores.writable_directory import WritableDirectory
from service.web.cors import CORS, Cors
from service.web.headers import CacheLifetime, ResponseLifetimes
from service.web.health import METRICS, READINESS, Readiness, posting
from service.web.imageinfo import STORE
from service.web.metrics import Metrics
from service.web.picture import LANGUAGES, PICTURES, REPEATS, RESPONSE_POLICY, ResponsePolicy
from service.web.repeats import Repeats
from service.web.routes import add_routes
from service.web.sharing import SharingHeaders
from service.web.writes import PURGES, UPLOAD_LIMITS, WRITES, UploadLimits
from service.wiring.credentials import authenticator

log = structlog.get_logger()

_FIRSTS = 2
"""First renders of a picture that may outrun their time before it is refused; who waits for them waits so long."""

_WRITTEN = 4
"""Times the store's time limit for which a request waits until its write is made: that covers a look, a wait for other
writers, the disk, and telling everyone."""

LEASE = 2.0
"""Seconds after which others go on where whoever leads has died; it is renewed while it renders."""

CACHE = web.AppKey("cache", PictureCache)
RENDERER = web.AppKey("renderer", Renderer)


def create_app(
    settings: Settings,
    *,
    store: WritableStore | None = None,
    cache: SharedCache | None = None,
    renderer: Renderer | None = None,
    slots: RenderSlots | None = None,
    shown: Sequence[int] = (),
) -> web.Application:
    """The whole service. What is given stands in for what the settings would make, and is closed with the rest.

    With *slots* it renders no more than these allow, which several processes share. With *shown*, contacts that have
    pictures, `/` is a page that shows these.
    """
    app = web.Application()
    app[METRICS] = Metrics()
    app[LANGUAGES] = Languages.load()
    app[RESPONSE_POLICY] = ResponsePolicy(
        response_lifetimes(settings.http),
        settings.render.preferred,
        settings.render.max_dimension,
        settings.server.write_timeout,
    )
    app[CORS] = Cors(settings.http.cors_origin, settings.http.cors_headers)
    sharing = SharingHeaders(app[RESPONSE_POLICY].lifetimes.picture, app[CORS])
    app.on_response_prepare.append(sharing.tell)
    app.cleanup_ctx.append(posting)
    app.cleanup_ctx.append(lambda app: authenticator(app, settings))
    app.cleanup_ctx.append(lambda app: _renderer(app, settings.render, renderer, slots))
    app.cleanup_ctx.append(lambda app: _store(app, settings, store))
    app.cleanup_ctx.append(lambda app: _cache(app, settings, cache))
    app.cleanup_ctx.append(lambda app: _pictures(app, settings, sharing))
    app.cleanup_ctx.append(lambda app: _writes(app, settings))
    if store is None and settings.images.watch:
        app.cleanup_ctx.append(lambda app: _watch(app, settings.images))
    add_routes(app, shown)
    return app


async def _renderer(
    app: web.Application, settings: RenderSettings, given: Renderer | None, slots: RenderSlots | None
) -> AsyncIterator[None]:
    if given is None:
        workers = settings.workers or cores()
        given = pool = RenderPool(
            app[METRICS],
            workers=workers,
            queue=settings.queue,
            timeout=settings.timeout,
            memory_bytes=settings.memory_bytes,
            slots=slots,
        )
        pool.open()
    app[RENDERER] = given
    yield
    await given.close()


async def _store(app: web.Application, settings: Settings, given: WritableStore | None) -> AsyncIterator[None]:
    app[STORE] = store = given or directory_store(settings)
    if settings.writes.enabled or settings.auth.schemes:
        try:
            await store.sweep()
        except PictureError as error:  # the start does not depend on it
            log.warning("uploads.not_swept", reason=str(error), cause=repr(error.__cause__))
    yield
    await store.close()


async def _cache(app: web.Application, settings: Settings, given: SharedCache | None) -> AsyncIterator[None]:
    cache = settings.cache
    embedded = await private_server(cache) if given is None else None
    url = embedded.url if embedded else cache.url.get_secret_value()
    shared = given or (redis_cache(settings, url) if url else None)
    app[CACHE] = picture_cache = PictureCache(
        shared,
        app[METRICS],
        memory_bytes=cache.memory_bytes,
        max_body=cache.max_entry_bytes,
        patience=_patience(settings),
    )
    await picture_cache.start()
    yield
    await picture_cache.close()
    if embedded is not None:
        await embedded.stop()


async def _pictures(app: web.Application, settings: Settings, sharing: SharingHeaders) -> AsyncIterator[None]:
    made, cache, observer = recipe(settings), app[CACHE], app[METRICS]
    lifetimes = RecordLifetimes(
        fresh=settings.cache.fresh_for,
        missing=settings.cache.missing_for,
        unrenderable=settings.cache.unrenderable_for,
        stale_while_revalidate=settings.http.stale_while_revalidate,
        stale_if_error=settings.http.stale_if_error,
        kept=settings.cache.kept_for,
    )
    mezzanines = MezzanineRenderer(
        app[RENDERER],
        cache,
        observer,
        digest=made.digest,
        kept_for=settings.cache.mezzanine_for,
        queue=settings.render.queue,
        patience=_patience(settings),
    )
    originals = Originals(app[STORE], cache, observer, lifetimes)
    faults = FaultRecorder(originals, observer, lifetime=lifetimes.unrenderable, digest=made.digest)
    renditions = Renditions(originals, app[RENDERER], mezzanines, faults, observer)
    app[PICTURES] = pictures = ContactPictures(cache, originals, renditions, observer, recipe=made, lifetimes=lifetimes)
    app[REPEATS] = Repeats(pictures, sharing)
    app[READINESS] = Readiness(app[RENDERER], app[STORE], cache)
    yield
    await pictures.close()
    await originals.close()


def _patience(settings: Settings) -> float:
    """Return the seconds that a request waits for the render of another one, which may be the second attempt."""
    return _FIRSTS * settings.render.timeout + 1.0


async def _writes(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    made, images = recipe(settings), settings.images
    app[UPLOAD_LIMITS] = UploadLimits(images.max_bytes, settings.server.write_timeout)
    app[PURGES] = app[CACHE]
    app[WRITES] = writes = Writes(
        app[STORE],
        app[CACHE],
        app[RENDERER],
        limits=made.limits,
        strip=made.encoding if settings.writes.strip_metadata else None,
        patience=_WRITTEN * images.timeout,
    )
    yield
    await writes.close()


async def _watch(app: web.Application, settings: ImagesSettings) -> AsyncIterator[None]:
    watch = Watch(settings.directory)
    await watch.start()
    task = asyncio.create_task(_drop_changed(watch, app[CACHE]))
    yield
    task.cancel()
    await asyncio.wait((task,))
    await watch.close()


async def _drop_changed(watch: Watch, cache: PictureCache) -> None:
    """Each process does so for all of them: a purge that another has done already does no harm."""
    while True:
        contacts = await watch.changed()
        if contacts is None:
            await cache.purge(None)
        else:
            for contact in contacts:
                await cache.purge(contact)


def cores() -> int:
    """The cores that this process may use, where the system tells; else all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def directory_store(settings: Settings) -> WritableDirectory:
    """The store of *settings*, closed by the caller."""
    return WritableDirectory(
        settings.images.directory, max_bytes=settings.images.max_bytes, timeout=settings.images.timeout
    )


async def private_server(cache: CacheSettings) -> EmbeddedValkey | None:
    """A private server, stopped by the caller; None where another one is set, or none can be had."""
    if cache.url.get_secret_value():
        return None
    try:
        embedded = EmbeddedValkey.start(cache.embedded_bytes)
        await embedded.ready()
    except CannotEmbed as error:
        log.warning("cache.memory_only", reason=str(error))
        return None
    return embedded


def redis_cache(settings: Settings, url: str) -> RedisCache:
    """The cache at *url*, closed by the caller."""
    return RedisCache(
        url,
        prefix=settings.cache.prefix,
        timeout=settings.cache.timeout,
        max_fields=settings.cache.max_fields,
        lease=LEASE,
        fence=settings.images.timeout + 4 * settings.render.timeout,
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


def response_lifetimes(http: HttpSettings) -> ResponseLifetimes:
    """How long others may keep each kind of answer."""
    return ResponseLifetimes(
        picture=CacheLifetime(http.max_age, http.s_maxage, http.stale_while_revalidate, http.stale_if_error),
        stale=CacheLifetime(http.stale_max_age, stale_if_error=http.stale_if_error),
        placeholder=CacheLifetime(http.placeholder_max_age),
        missing=CacheLifetime(http.missing_max_age),
    )
