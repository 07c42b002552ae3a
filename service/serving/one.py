"""Serve in this process until a stop is ordered."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog
from aiohttp import web

from service.rendering.slots import RenderSlots
from service.serving.listening import connection_limits
from service.serving.stopping import SignalCounter, Stop, ending_signals
from service.settings import Settings
from service.web.keys import READINESS
from service.web.runner import Runner
from service.wiring.app import create_app

log = structlog.get_logger()


async def serve_alone(
    settings: Settings, listener: socket.socket, ready: Callable[[], None], shown: Sequence[int] = ()
) -> None:
    """Serve on *listener* until SIGTERM, SIGINT, SIGQUIT or SIGHUP. A second signal hurries the stop.

    Call *ready* when the service listens. *shown* is as in `create_app`.
    """
    stop = Stop(settings.server)
    counter = SignalCounter(stop.request, stop.hurry)
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, counter.receive)
    await serve(settings, listener, ready, stop, shown=shown)


async def serve(
    settings: Settings,
    listener: socket.socket,
    ready: Callable[[], None],
    stop: Stop,
    slots: RenderSlots | None = None,
    shown: Sequence[int] = (),
) -> None:
    """Serve on *listener* until *stop* is ordered. Then drain, close *listener* and finish the requests in flight.

    Call *ready* when the service listens. *slots* and *shown* are as in `create_app`.
    """
    server = settings.server
    app = create_app(settings, slots=slots, shown=shown)
    limits = connection_limits(server)
    runner = Runner(app, limits, shutdown_timeout=server.shutdown_timeout, hurried=stop.hurried)
    try:
        await runner.setup()
        gc.collect()
        gc.freeze()  # garbage collections skip modules, settings and catalogues: 4 % of a hit
        await web.SockSite(runner, listener, backlog=limits.backlog).start()
        ready()
        await stop.requested.wait()
        if stop.drain:
            log.info("server.draining", seconds=stop.drain)
            app[READINESS].drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(stop.drain):
                    await stop.hurried.wait()
    finally:
        await runner.cleanup()
