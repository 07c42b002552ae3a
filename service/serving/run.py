"""Running the service: in this process, or in several that share the port."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from service.settings import Settings


def run(settings: Settings, ready: Callable[[str], None], shown: Sequence[int] = ()) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish. *ready* is called with the
    base URL once it does.

    With *shown*, contacts that have pictures, `/` is a page that shows these.

    Raises OSError when the port cannot be had, and `BadSettings` where a file or folder of the settings cannot be used.
    """
    if settings.server.workers == 1:
        _run(settings, ready, shown, None)
    else:
        with TemporaryDirectory(prefix="contact-image-", ignore_cleanup_errors=True) as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # prometheus_client looks when it is first imported
            _run(settings, ready, shown, Path(folder))


def _run(settings: Settings, ready: Callable[[str], None], shown: Sequence[int], folder: Path | None) -> None:
    import structlog

    from service.serving.folder import look_at_folder
    from service.serving.listening import base_url, listen
    from service.serving.logs import configure_logs
    from service.wiring.credentials import check_files

    configure_logs(settings.log)
    log = structlog.get_logger()
    look_at_folder(settings)
    if settings.auth.schemes:
        asyncio.run(check_files(settings.auth))
    listener = listen(settings.server)

    def announce() -> None:
        base = base_url(listener)
        log.info("server.listening", url=base)
        ready(base)

    if folder is None:
        import uvloop

        from service.serving.one import serve

        uvloop.run(serve(settings, listener, announce, shown=shown))
    else:
        from service.serving.several import serve_by_several

        serve_by_several(settings, listener, announce, folder, shown)
    log.info("server.stopped")
