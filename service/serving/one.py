"""Serve in this process until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Sequence

from aiohttp import web

from service.rendering.slots import RenderSlots
from service.serving.listening import connection_limits
from service.settings import Settings
from service.web.runner import Runner
from service.wiring.app import create_app


async def serve(
    settings: Settings,
    listener: socket.socket,
    ready: Callable[[], None],
    slots: RenderSlots | None = None,
    shown: Sequence[int] = (),
) -> None:
    """Serve on *listener* until SIGTERM, SIGINT or SIGQUIT. Then finish the requests in flight.

    Call *ready* when the service listens. *slots* and *shown* are as in `create_app`. A second signal has no effect.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = settings.server
    app = create_app(settings, slots=slots, shown=shown)
    limits = connection_limits(server)
    runner = Runner(app, limits, shutdown_timeout=server.shutdown_timeout)
    try:
        await runner.setup()
        gc.collect()
        gc.freeze()  # garbage collections skip modules, settings and catalogues: 4 % of a hit
        await web.SockSite(runner, listener, backlog=limits.backlog).start()
        ready()
        await stop.wait()
    finally:
        await runner.cleanup()
