"""The composition root: make the adapters and the application from the settings.

Other packages do not make adapters, apart from a private Valkey server that `contact-image check` starts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from types import MappingProxyType

import structlog
from aiohttp import web

from service.access.schemes import Scheme
from service.caches.embedded import EmbeddedValkey
from service.caches.redis import RedisCache
from service.errors import PictureError
from service.imaging.order import Encoding, Limits
from service.imaging.versions import encoder_versions
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.contact_pictures import ContactPictures
from service.pictures.entries import Entries
from service.pictures.faults import FaultRecorder
from service.pictures.lifetimes import RecordLifetimes
from service.pictures.mezzanine_renderer import MezzanineRenderer
from service.pictures.originals import Originals
from service.pictures.ports import CacheUnavailable, Lookup, Renderer, SharedCache, WritableStore
from service.pictures.renditions import Renditions
from service.pictures.selection import Recipe
from service.pictures.thumb_hashes import ThumbHashes
from service.pictures.values import PlaceholderFiles
from service.pictures.writes import Writes
from service.protocol.languages import Languages
from service.rendering.admission import Admission, SharedWork
from service.rendering.costs import Costs
from service.rendering.pool import RenderPool
from service.rendering.slots import RenderSlots
from service.settings import CacheSettings, RenderSettings, Settings
from service.web.cors import Cors
from service.web.direct import DirectAnswers
from service.web.health import flush_metrics
from service.web.hosts import Hosts
from service.web.keys import (
    ADMISSION,
    AFTER_RELOAD,
    BODIES,
    CACHE,
    CORS,
    DIRECT,
    HOSTS,
    LANGUAGES,
    METRICS,
    PICTURES,
    READINESS,
    REFUSALS,
    RENDERER,
    REPEATS,
    RESPONSE_POLICY,
    SHARING,
    STORE,
    THUMB_HASHES,
    TRUSTED_PROXIES,
    UPLOAD_LIMITS,
    WRITES,
)
from service.web.metrics import Metrics
from service.web.openapi.document import document
from service.web.pages import pages
from service.web.policy import CacheLifetime, ResponseLifetimes, ResponsePolicy, UploadLimits
from service.web.readiness import Readiness
from service.web.repeats import Repeats
from service.web.request_log import RefusalLog
from service.web.routes import add_routes
from service.web.sharing import SharingHeaders
from service.web.streaming import BodySender
from service.wiring.credentials import authenticator
from service.wiring.private_server import private_server, with_private_server
from service.wiring.stores import StoreState, store_type

log = structlog.get_logger()

_ATTEMPTS = 2
"""Renders of a picture that may exceed the time limit before the picture is refused. A follower waits for both."""

_LEAST_INDEX = 8_388_608
"""Bytes of the index of repeats at least."""
_WRITE_STEPS = 4
"""Times that `images.timeout` fits into the wait for a write: a lookup, the lock, the disk, and the purge."""

_COMPARE_PAUSE = 10.0
"""Seconds between two looks whether all processes that share the cache have the same store."""

_YEAR = 31_536_000
"""Seconds of the lifetime of what never changes, as is usual."""

LEASE = 2.0
"""Seconds until the lease of a leader that has died ends. A leader renews the lease while it renders."""


def create_app(
    settings: Settings,
    *,
    store: WritableStore | None = None,
    cache: SharedCache | None = None,
    renderer: Renderer | None = None,
    slots: RenderSlots | None = None,
    in_force: StoreState | None = None,
    embedded: EmbeddedValkey | None = None,
    shown: Sequence[int] = (),
    placeholders: PlaceholderFiles = MappingProxyType({}),
) -> web.Application:
    """Return the application of the whole service.

    *store*, *cache* and *renderer* replace the adapters that *settings* describe. The application closes them.
    *slots* limit the renders of all processes that share them. *in_force* is what they share about the store.
    *embedded* is the private cache server, if it has been started already. The application stops it.
    *shown* are the contacts that the page at `/` lists. *placeholders* replace drawn ones.
    """
    app = web.Application()
    app[AFTER_RELOAD] = []
    app[METRICS] = Metrics()
    app[REFUSALS] = RefusalLog()
    app[LANGUAGES] = Languages.load()
    app[RESPONSE_POLICY] = ResponsePolicy(
        response_lifetimes(settings),
        settings.render.preferred,
        settings.render.max_dimension,
        settings.render.presets_in_force,
    )
    app[BODIES] = BodySender(settings.server.unsent_bytes, settings.server.write_timeout)
    app[CORS] = Cors(settings.http.cors_origin, settings.http.cors_headers)
    app[HOSTS] = Hosts(settings.served_names, settings.server.trusted_proxies)
    app[TRUSTED_PROXIES] = settings.server.trusted_proxies
    app[SHARING] = SharingHeaders(app[RESPONSE_POLICY].lifetimes.picture, app[CORS])
    app.on_response_prepare.append(app[SHARING].on_prepare)
    app.cleanup_ctx.append(flush_metrics)
    app.cleanup_ctx.append(_report_refusals)
    app.cleanup_ctx.append(lambda app: authenticator(app, settings))
    app.cleanup_ctx.append(lambda app: _renderer(app, settings.render, renderer, slots))
    app.cleanup_ctx.append(lambda app: _store(app, settings, store, in_force))
    app.cleanup_ctx.append(lambda app: _cache(app, settings, cache, embedded))
    app.cleanup_ctx.append(lambda app: _pictures(app, settings, placeholders))
    app.cleanup_ctx.append(lambda app: _writes(app, settings))
    if store is None:
        app.cleanup_ctx.append(lambda app: store_type(settings).watch(settings, app[STORE], app[CACHE].purge))
    if settings.images.marker:
        app.cleanup_ctx.append(_compare_stores)
    shown_pages = pages(shown, writable=_writable(settings)) if settings.pages.enabled else {}
    add_routes(app, _described(settings), shown_pages, operators_apart=bool(settings.server.admin))
    return app


def _described(settings: Settings) -> bytes:
    """Return the description of the interface under *settings*."""
    return document(
        version=version("contact-image"),
        max_dimension=settings.render.max_dimension,
        presets=sorted(settings.render.presets),
        schemes=settings.auth.schemes,
        anonymous=settings.auth.anonymous_read,
        page=settings.pages.enabled,
        metrics=not settings.server.admin,
    )


def _writable(settings: Settings) -> bool:
    """Return whether some requesters may change pictures. A signed URL does not allow that."""
    return settings.writes.enabled or bool({*settings.auth.schemes} - {Scheme.SIGNED})


async def _report_refusals(app: web.Application) -> AsyncIterator[None]:
    yield
    app[REFUSALS].report()


async def _renderer(
    app: web.Application, settings: RenderSettings, given: Renderer | None, slots: RenderSlots | None
) -> AsyncIterator[None]:
    workers, costs, ready = settings.workers or cores(), Costs(), lambda: True
    if given is None:
        given = pool = RenderPool(
            app[METRICS],
            workers=workers,
            queue=settings.queue,
            timeout=settings.timeout,
            memory_bytes=settings.memory_bytes,
            sandbox=settings.sandbox,
            slots=slots,
        )
        pool.open()
        costs, ready = pool.costs, pool.is_ready
        app[METRICS].gauges.watch_processes("render", lambda: pool.pids)
    app[RENDERER] = given
    shared = SharedWork(slots.directory / "work") if slots is not None else None
    app[ADMISSION] = admission = Admission(
        costs,
        renderers=workers,
        queue=settings.queue,
        queue_timeout=settings.queue_timeout,
        start_timeout=settings.timeout,
        ready=ready,
        shared=shared,
        slots=slots.count if slots is not None else 0,
    )
    yield
    await given.close()
    admission.close()


async def _store(
    app: web.Application, settings: Settings, given: WritableStore | None, in_force: StoreState | None
) -> AsyncIterator[None]:
    app[STORE] = store = given or store_type(settings).make(settings, in_force)
    if settings.writes.enabled or settings.auth.schemes:
        try:
            await store.sweep()
        except PictureError as error:  # the start does not depend on it
            log.warning("uploads.not_swept", reason=str(error), cause=repr(error.__cause__))
    yield
    await store.close()


async def _compare_stores(app: web.Application) -> AsyncIterator[None]:
    comparing = asyncio.create_task(_report_other_stores(app[STORE], app[CACHE]))
    yield
    comparing.cancel()
    await asyncio.wait((comparing,))


async def _report_other_stores(store: WritableStore, cache: PictureCache) -> None:
    """Log the identities of other stores with which processes use the cache, once for each set of them."""
    reported: list[str] = []
    while True:
        with suppress(PictureError, CacheUnavailable):  # `/readyz` reports them
            if (own := await store.identity()) is not None:
                others = await cache.other_stores(own)
                if others and others != reported:
                    log.warning("images.stores_differ", own=own, others=others)
                    reported = others
        await asyncio.sleep(_COMPARE_PAUSE)


async def _cache(
    app: web.Application, settings: Settings, given: SharedCache | None, started: EmbeddedValkey | None
) -> AsyncIterator[None]:
    embedded = await private_server(settings.cache, started) if given is None else None
    if embedded is not None:
        settings = with_private_server(settings, embedded)
    cache = settings.cache
    shared = given or (redis_cache(settings, partial(app[METRICS].cache, "shared")) if cache.url else None)
    app[CACHE] = picture_cache = PictureCache(
        shared,
        app[METRICS],
        memory_bytes=max(0, cache.memory_bytes - _index_bytes(cache)),
        max_body=cache.max_entry_bytes,
        max_wait=_max_wait(settings),
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


async def _pictures(app: web.Application, settings: Settings, placeholders: PlaceholderFiles) -> AsyncIterator[None]:
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
        hash_kept_for=lifetimes.kept,
        queue=settings.render.queue,
        max_wait=_max_wait(settings),
    )
    originals = Originals(app[STORE], cache, observer, lifetimes, app[ADMISSION])
    app[METRICS].gauges.watch("breaker_open", lambda: originals.breaker_open, "store")
    faults = FaultRecorder(originals, observer, lifetime=lifetimes.unrenderable, digest=made.digest)
    renditions = Renditions(originals, app[RENDERER], mezzanines, faults, observer)
    entries = Entries(cache, renditions, observer, lifetimes, app[ADMISSION])
    app[PICTURES] = pictures = ContactPictures(
        cache,
        originals,
        renditions,
        entries,
        observer,
        recipe=made,
        lifetimes=lifetimes,
        placeholder_files=placeholders,
    )
    app[THUMB_HASHES] = hashes = ThumbHashes(cache, originals, entries, made)
    app[REPEATS] = Repeats(pictures, app[SHARING], _index_bytes(settings.cache))
    app[DIRECT] = DirectAnswers(pictures, app[REPEATS], app[RESPONSE_POLICY], app[TRUSTED_PROXIES])
    app[READINESS] = Readiness(app[RENDERER], app[STORE], cache)
    yield
    await hashes.close()
    await pictures.close()
    await originals.close()


def _index_bytes(settings: CacheSettings) -> int:
    """Return the bytes of the index of repeats: a share of the memory cache, and enough to answer from Redis alone."""
    return max(settings.memory_bytes // 4, _LEAST_INDEX)


def _max_wait(settings: Settings) -> float:
    """Return the seconds that a request waits for the render of another one, which may be the second attempt."""
    return _ATTEMPTS * settings.render.timeout + 1.0


async def _writes(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    made, images = recipe(settings), settings.images
    app[UPLOAD_LIMITS] = UploadLimits(images.max_bytes, settings.server.write_timeout)
    app[WRITES] = writes = Writes(
        app[STORE],
        app[CACHE],
        app[RENDERER],
        app[ADMISSION],
        limits=made.limits,
        strip=made.encoding if settings.writes.strip_metadata else None,
        max_wait=_WRITE_STEPS * images.timeout,
    )
    yield
    await writes.close()


def cores() -> int:
    """Return the number of cores that this process may use; of all cores where the system does not provide it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def recipe(settings: Settings) -> Recipe:
    """Return how to render.

    The digest covers everything that decides the bytes of a rendition. Entity tags and cache fields contain it.
    """
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
    parameters = f"{asdict(limits)}{asdict(encoding)}{encoder_versions()}"
    digest = blake2b(parameters.encode(), digest_size=4).hexdigest()
    return Recipe(limits, encoding, digest, as_stored=settings.images.as_stored == "verbatim")


def response_lifetimes(settings: Settings) -> ResponseLifetimes:
    """Return how long other caches may keep each kind of answer."""
    http = settings.http
    picture = CacheLifetime(http.max_age, http.s_maxage, http.stale_while_revalidate, http.stale_if_error)
    return ResponseLifetimes(
        picture=picture,
        version=CacheLifetime(_YEAR, immutable=True, private_max_age=http.max_age),
        other_version=replace(picture.within(int(settings.cache.fresh_for)), private_max_age=http.max_age),
        stale=CacheLifetime(http.stale_max_age, stale_if_error=http.stale_if_error),
        placeholder=CacheLifetime(http.placeholder_max_age),
        missing=CacheLifetime(http.missing_max_age),
    )
