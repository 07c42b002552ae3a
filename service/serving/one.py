"""Serve in this process until a stop is ordered."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog
from aiohttp import web

from service.caches.embedded import EmbeddedValkey
from service.serving.hangup import Hangup, meaning
from service.serving.listening import Listeners, connection_limits
from service.serving.reloading import Reload, reload_at
from service.serving.stopping import SignalCounter, Stop, ending_signals
from service.settings import ServerSettings
from service.web.hosts import Hosts
from service.web.keys import READINESS
from service.web.operators import OperatorsPath, operators_application
from service.web.runner import FAST_PATH, Runner
from service.wiring.app import create_app

log = structlog.get_logger()

_CUT_TIMEOUT = 0.1
"""Seconds for requests of operators to end at the stop."""
_OPERATORS = 64
"""Connections of operators at most."""
_COLLECTED_AFTER = 5_000, 20, 20
"""Objects made, and collections of younger ones, before the next garbage collection. Python's own take 4 % of a hit."""


async def serve_alone(
    reload: Reload,
    listeners: Listeners,
    ready: Callable[[], None],
    embedded: EmbeddedValkey | None = None,
    shown: Sequence[int] = (),
) -> None:
    """Serve on *listeners* with the settings of *reload* until SIGTERM, SIGINT or SIGQUIT. A second hurries the stop.

    SIGHUP reloads them, or is one of the signals that end. Call *ready* when the service listens. *embedded* and
    *shown* are as in `create_app`.
    """
    loop, settings = asyncio.get_running_loop(), reload.settings
    stop = Stop(settings.server)
    app = create_app(
        settings, in_force=reload.in_force, embedded=embedded, shown=shown, placeholders=reload.placeholders
    )
    counter = SignalCounter(stop.request, stop.hurry)
    for number in ending_signals():
        loop.add_signal_handler(number, counter.receive)
    ordered = asyncio.Event()
    reloading = asyncio.create_task(reload_at(ordered, lambda: reload.in_application(app)))

    def listening() -> None:
        if meaning() is Hangup.RELOADS:
            loop.add_signal_handler(signal.SIGHUP, ordered.set)
        ready()

    try:
        await serve(app, settings.server, listeners, listening, stop)
    finally:
        reloading.cancel()


async def serve(
    app: web.Application, server: ServerSettings, listeners: Listeners, ready: Callable[[], None], stop: Stop
) -> None:
    """Serve *app* on *listeners* until *stop* is ordered. Then drain, close them and finish requests in flight.

    Call *ready* when the service listens.
    """
    limits = connection_limits(server)
    operators: Runner | None = None
    runner = Runner(app, limits, shutdown_timeout=server.shutdown_timeout, hurried=stop.hurried)
    try:
        await runner.setup()
        gc.freeze()  # garbage collections skip modules, settings and catalogues: 4 % of a hit
        gc.set_threshold(*_COLLECTED_AFTER)
        gc.enable()
        await web.SockSite(runner, listeners.public, backlog=limits.backlog).start()
        if listeners.admin is not None:
            shown = operators_application(app, Hosts(server.operators_names, ()))
            shown[FAST_PATH] = OperatorsPath
            few = replace(limits, connections=_OPERATORS)
            operators = Runner(shown, few, shutdown_timeout=_CUT_TIMEOUT, hurried=stop.hurried)
            await operators.setup()
            await web.SockSite(operators, listeners.admin).start()
        ready()
        await stop.announced.wait()
        runner.close_after_answers()
        await stop.requested.wait()
        if stop.drain:
            log.info("server.draining", seconds=stop.drain)
            app[READINESS].drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(stop.drain):
                    await stop.hurried.wait()
    finally:
        await runner.cleanup()
        if operators is not None:
            await operators.cleanup()
