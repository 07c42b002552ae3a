"""Serving in this process: the event loop, the application, the listening socket, until it is told to stop."""

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
    """Serve on *listener* until SIGTERM or SIGINT, then let requests in flight finish. *ready* is called once it does.

    *slots* and *shown* are as in `create_app`.

    A second signal while they finish changes nothing; SIGKILL is for the impatient.
    """
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    server = settings.server
    app = create_app(settings, slots=slots, shown=shown)
    runner = Runner(app, connection_limits(server), shutdown_timeout=server.shutdown_timeout)
    try:
        await runner.setup()
        gc.collect()
        gc.freeze()  # modules, settings, catalogues: no collection need look through them again (4 % of a hit)
        await web.SockSite(runner, listener, backlog=server.connections).start()
        ready()
        await told.wait()
    finally:
        await runner.cleanup()
