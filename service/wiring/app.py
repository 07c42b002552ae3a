"""The composition root: make the adapters and the application from the settings.

Other packages do not make adapters, apart from a private Valkey server that `contact-image check` starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from types import MappingProxyType

import structlog
from aiohttp import web

from service.access.schemes import Scheme
from service.caches.embedded import EmbeddedValkey
from service.ending import end
from service.errors import PictureError
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.contact_pictures import ContactPictures
from service.pictures.entries import Entries
from service.pictures.faults import FaultRecorder
from service.pictures.mezzanine_renderer import MezzanineRenderer
from service.pictures.originals import Originals
from service.pictures.ports import CacheUnavailable, Renderer, SharedCache, WritableStore
from service.pictures.renditions import Renditions
from service.pictures.thumb_hashes import ThumbHashes
from service.pictures.values import PlaceholderFiles
from service.pictures.writes import Writes
from service.protocol.languages import Languages
from service.rendering.admission import Admission, SharedWork
from service.rendering.costs import Costs
from service.rendering.pool import RenderPool
from service.rendering.slots import RenderSlots
from service.settings import RenderSettings, Settings
from service.system.processes import cores
from service.web.access_log import AccessLog
from service.web.cors import Cors
from service.web.direct import DirectAnswers
from service.web.health import flush_metrics
from service.web.hosts import Hosts
from service.web.keys import (
    ACCESS_LOG,
    ADMISSION,
    AFTER_RELOAD,
    BODIES,
    CACHE,
    CORS,
    DIRECT,
    HOSTS,
    LANGUAGES,
    METRICS,
    NEW_TRACE,
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
from service.web.policy import ResponsePolicy, UploadLimits
from service.web.readiness import Readiness
from service.web.repeats import Repeats
from service.web.request_ids import give_back
from service.web.request_log import RefusalLog
from service.web.routes import add_routes
from service.web.sharing import SharingHeaders
from service.web.streaming import BodySender
from service.wiring.caches import caches, index_bytes
from service.wiring.credentials import authenticator
from service.wiring.lifetimes import max_wait, record_lifetimes, response_lifetimes
from service.wiring.recipe import recipe
from service.wiring.stores import StoreState, store_type
from service.wiring.tracing import tracing

log = structlog.get_logger()

_WRITE_STEPS = 4
"""Times that `images.timeout` fits into the wait for a write: a lookup, the lock, the disk, and the purge."""

_COMPARE_PAUSE = 10.0
"""Seconds between two looks whether all processes that share the cache have the same store."""


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
    app[ACCESS_LOG] = AccessLog(settings.log.access, settings.server.trusted_proxies)
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
    app.on_response_prepare.append(give_back)
    app.cleanup_ctx.append(lambda app: tracing(app, settings))
    app.cleanup_ctx.append(flush_metrics)
    app.cleanup_ctx.append(_report_refusals)
    app.cleanup_ctx.append(lambda app: authenticator(app, settings))
    app.cleanup_ctx.append(lambda app: _renderer(app, settings.render, renderer, slots))
    app.cleanup_ctx.append(lambda app: _store(app, settings, store, in_force))
    app.cleanup_ctx.append(lambda app: caches(app, settings, cache, embedded))
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
    await end(comparing)


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


async def _pictures(app: web.Application, settings: Settings, placeholders: PlaceholderFiles) -> AsyncIterator[None]:
    made, lifetimes, cache, observer = recipe(settings), record_lifetimes(settings), app[CACHE], app[METRICS]
    mezzanines = MezzanineRenderer(
        app[RENDERER],
        cache,
        observer,
        digest=made.digest,
        kept_for=settings.cache.mezzanine_for,
        hash_kept_for=lifetimes.kept,
        queue=settings.render.queue,
        max_wait=max_wait(settings),
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
        new_trace=app[NEW_TRACE],
    )
    app[THUMB_HASHES] = hashes = ThumbHashes(cache, originals, entries, made)
    app[REPEATS] = Repeats(pictures, app[SHARING], index_bytes(settings.cache))
    app[DIRECT] = DirectAnswers(
        pictures, app[REPEATS], app[RESPONSE_POLICY], app[TRUSTED_PROXIES], app[ACCESS_LOG], app[NEW_TRACE]
    )
    app[READINESS] = Readiness(app[RENDERER], app[STORE], cache)
    yield
    await hashes.close()
    await pictures.close()
    await originals.close()


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
        new_trace=app[NEW_TRACE],
    )
    yield
    await writes.close()
