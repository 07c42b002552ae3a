"""Running the service: in this process, or in several that share the port."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from service.settings import Settings


def run(settings: Settings, welcome: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish. *welcome* is told the base URL.

    Raises OSError when the port cannot be had, and `BadSettings` where a file or folder of the settings cannot be used.
    """
    if settings.server.workers == 1:
        _run(settings, welcome, None)
    else:
        with TemporaryDirectory(prefix="contact-image-", ignore_cleanup_errors=True) as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # prometheus_client looks when it is first imported
            _run(settings, welcome, Path(folder))


def _run(settings: Settings, welcome: Callable[[str], None] | None, folder: Path | None) -> None:
    import structlog

    from service.entrance import inspect
    from service.serving.folder import look_at_folder
    from service.serving.listening import base_url, listen
    from service.serving.logs import configure_logs

    configure_logs(settings.log)
    log = structlog.get_logger()
    look_at_folder(settings)
    if settings.auth.schemes:
        asyncio.run(inspect(settings.auth))
    listener = listen(settings.server)

    def announce() -> None:
        base = base_url(listener)
        log.info("server.listening", url=base)
        if welcome is not None:
            welcome(base)

    if folder is None:
        import uvloop

        from service.serving.one import serve

        uvloop.run(serve(settings, listener, announce))
    else:
        from service.serving.several import serve_by_several

        serve_by_several(settings, listener, announce, folder)
    log.info("server.stopped")
