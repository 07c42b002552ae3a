"""Run the service in this process, or in several processes that share the port."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from service.caches.embedded import EmbeddedValkey
from service.settings import Settings, SettingsSources
from service.settings.cache import UNSEALED
from service.wiring.private_server import starting_private_server

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that tell OpenSSL where the certificates of authorities are."""
_MULTIPROCESS_VARIABLES = "PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"
"""Variables with the folder in which prometheus_client counts, in a file for each process. The second is older."""


def run(settings: Settings, sources: SettingsSources, ready: Callable[[str], None], shown: Sequence[int] = ()) -> None:
    """Serve until SIGTERM or SIGINT. Then drain, and finish the requests in flight. A second signal ends at once.

    *settings* are those of *sources*. SIGHUP reloads them, unless it was ignored or standard input is a terminal.
    Call *ready* with the base URL when the service listens. *shown* is as in `create_app`.

    Raise OSError if the port cannot be had, and `BadSettings` if a file or folder of the settings cannot be used.
    """
    with starting_private_server(settings.cache) as embedded:  # it starts while this process imports the rest
        for name in _MULTIPROCESS_VARIABLES:  # a folder of the environment has counts of other programs or earlier runs
            os.environ.pop(name, None)
        if settings.server.workers == 1:
            _run(settings, sources, ready, embedded, shown, None)
        else:
            with TemporaryDirectory(prefix="contact-image-", ignore_cleanup_errors=True) as folder:
                os.environ[_MULTIPROCESS_VARIABLES[0]] = folder  # prometheus_client reads it when it is imported
                _run(settings, sources, ready, embedded, shown, Path(folder))


def _run(
    settings: Settings,
    sources: SettingsSources,
    ready: Callable[[str], None],
    embedded: EmbeddedValkey | None,
    shown: Sequence[int],
    folder: Path | None,
) -> None:
    _import_aiohttp()
    _import_redis()

    from service.serving.listening import base_url, listen, remove_path
    from service.serving.logs import configure_logs
    from service.serving.reloading import Reload
    from service.wiring.credentials import check_files
    from service.wiring.placeholders import load_placeholders
    from service.wiring.sandbox import sandbox_layers
    from service.wiring.stores import store_type
    from service.wiring.tracing import check_installed

    configure_logs(settings.log)
    log = structlog.get_logger()
    in_force = store_type(settings).prepare(settings)
    check_installed(settings.tracing)
    if settings.render.sandbox == "require":
        asyncio.run(sandbox_layers(settings.render))
    if settings.auth.schemes:
        asyncio.run(check_files(settings.auth))
    if not settings.cache.sealed:
        log.warning("cache.unsealed", reason=UNSEALED)
    if settings.exposed:
        log.warning("server.exposed", reason=settings.exposed)
    placeholders = asyncio.run(load_placeholders(settings)) if settings.placeholders.directory else {}
    listeners, reload = listen(settings.server), Reload(settings, sources, in_force, placeholders)

    def announce() -> None:
        base = base_url(listeners.public)
        log.info("server.listening", url=base, **({"admin": settings.server.admin} if listeners.admin else {}))
        ready(base)

    try:
        if folder is None:
            import uvloop

            from service.serving.one import serve_alone

            uvloop.run(serve_alone(reload, listeners, announce, embedded, shown))
        else:
            from service.serving.several import serve_by_several

            serve_by_several(reload, listeners, announce, folder, embedded, shown)
    finally:
        remove_path(settings.server)
    log.info("server.stopped")


def _import_aiohttp() -> None:
    """Import aiohttp without the certificates of authorities. Its import would read them, a tenth of the start.

    They are for its own client. The verifiers' client, if there is one, has a context of its own.
    """
    given = {name: os.environ[name] for name in _CERTIFICATES if name in os.environ}
    os.environ.update(dict.fromkeys(_CERTIFICATES, os.devnull))
    try:
        import aiohttp  # noqa: F401
    finally:
        for name in _CERTIFICATES:
            del os.environ[name]
        os.environ.update(given)


def _import_redis() -> None:
    """Import redis without OpenTelemetry, which it imports for metrics of its own where it is installed."""
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # the import system takes it for a module that is missing
    try:
        import redis.asyncio  # noqa: F401
    finally:
        del sys.modules["opentelemetry"]
