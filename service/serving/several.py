"""Serve with several processes on one port, which gunicorn's arbiter starts and watches.

The arbiter is this process. It has no event loop and no application. It has the listening socket, the private cache
server, and a folder for the metrics and the render slots of the processes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import uvloop
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from prometheus_client import multiprocess, values

from service.caches.embedded import EmbeddedValkey
from service.line_queue import STANDARD_ERROR
from service.log_level import LOG_LEVEL
from service.rendering.slots import RenderSlots
from service.serving.arbiter import EventLogger, ReplaceableWorker, SafeArbiter
from service.serving.budget import share
from service.serving.listening import Listeners
from service.serving.one import serve
from service.serving.reloading import Reload
from service.serving.stopping import Stop
from service.settings import Settings
from service.web.gauges import Gauges
from service.web.keys import METRICS
from service.wiring.app import create_app
from service.wiring.private_server import private_server, with_private_server

log = structlog.get_logger()

_HEARTBEAT_TIMEOUT = 30
"""Seconds without a heartbeat after which a process is killed and replaced: its event loop is blocked."""
_HEARTBEAT = 1.0
"""Seconds between two heartbeats of a process."""
_FAILED_START_PAUSE = 1.0
"""Seconds after which a successor that cannot serve ends, and another one is started."""
_ORDER_TIMEOUT = 1.0
"""Seconds after SIGTERM in which the order of the arbiter arrives, if every process of the service got the signal.

In this time, clients with kept connections learn from their answers to open others.
"""


def serve_by_several(
    reload: Reload,
    listeners: Listeners,
    ready: Callable[[], None],
    folder: Path,
    embedded: EmbeddedValkey | None,
    shown: Sequence[int] = (),
) -> None:
    """Serve on *listeners* with `server.workers` processes until SIGTERM or SIGINT. Call *ready* before they start.

    The processes are started with the settings of *reload*, which SIGHUP changes. *folder* is for these processes only.
    `PROMETHEUS_MULTIPROC_DIR` has named it since before the import of prometheus_client. *embedded* and *shown* are as
    in `create_app`.
    """
    embedded = asyncio.run(private_server(reload.settings.cache, embedded))  # one for all processes
    try:
        _Workers(reload, listeners, ready, folder, embedded, shown).run()
    except SystemExit as end:
        if end.code:
            raise


class _Workers(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """The application and the configuration of gunicorn."""

    def __init__(
        self,
        reload: Reload,
        listeners: Listeners,
        ready: Callable[[], None],
        folder: Path,
        embedded: EmbeddedValkey | None,
        shown: Sequence[int],
    ) -> None:
        self.settings_reload, self.listeners, self.ready = reload, listeners, ready
        self.folder, self.embedded, self.shown = folder, embedded, shown
        self.life, self.life_held = os.pipe()  # only the arbiter holds the other end, so its death closes the pipe
        super().__init__()

    def load_config(self) -> None:
        server = self.settings_reload.settings.server
        for name, value in {
            "workers": server.workers,
            "worker_class": _Process,
            "timeout": _HEARTBEAT_TIMEOUT,
            "logger_class": EventLogger,
            "control_socket_disable": True,
            "when_ready": lambda _: self.ready(),
            "pre_fork": SafeArbiter.place,
            "child_exit": _forget_gauges,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> _Workers:
        return self

    def run(self) -> None:
        self.arbiter = SafeArbiter(self, self.listeners, self.settings_reload, self._every_second)
        gc.freeze()  # the end takes 0.1 s and not 0.7, and forked processes share more memory
        gc.enable()
        self.arbiter.run()

    def _every_second(self) -> None:
        LOG_LEVEL.apply()
        if self.embedded is not None:
            self.embedded.revive()


class _Process(ReplaceableWorker):
    """A process that serves."""

    def init_signals(self) -> None:
        """Let SIGTERM end this process until it serves. Ignore the other signals: the arbiter acts on them."""
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGABRT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        SafeArbiter.unblock()

    def init_process(self) -> None:
        """Serve, and end this process. Returning would clean up the arbiter's temporary folders."""
        code = 1
        try:
            super().init_process()
            code = 0
        except BaseException:  # this process ends below, with a code that tells the arbiter
            log.exception("server.worker_failed")
            if not self.booted:
                if self.is_first:
                    code = Arbiter.WORKER_BOOT_ERROR  # the arbiter gives up
                else:
                    time.sleep(_FAILED_START_PAUSE)  # its loop has ended; the arbiter would start the next one at once
        finally:
            STANDARD_ERROR.drain()
            os._exit(code)

    @property
    def is_first(self) -> bool:
        """Whether this is one of the first processes, and not a successor."""
        return bool(self.age <= self.cfg.workers)

    def run(self) -> None:
        workers = self.wsgi
        self.booted = False  # it is True when the process serves
        os.close(workers.life_held)
        threading.Thread(target=_end_with_arbiter, args=(workers.life, workers.folder), daemon=True).start()
        workers.arbiter.stopping.disown()
        workers.arbiter.hurrying.disown()
        if workers.embedded is not None:
            workers.embedded.disown()
        values.ValueClass = values.MultiProcessValue(lambda: self.number)  # type: ignore[no-untyped-call]
        settings, slots = share(workers.settings_reload.settings, self.part, workers.folder)
        if workers.embedded is not None:
            settings = with_private_server(settings, workers.embedded)
        uvloop.run(self._serve(settings, slots))

    async def _serve(self, settings: Settings, slots: RenderSlots | None) -> None:
        workers = self.wsgi
        loop, stop, arbiter = asyncio.get_running_loop(), Stop(settings.server), workers.arbiter
        arbiter.stopping.receive(stop.request)
        arbiter.hurrying.receive(stop.hurry)

        def end_soon() -> None:
            stop.announced.set()
            loop.call_later(_ORDER_TIMEOUT, stop.request_alone)

        loop.add_signal_handler(signal.SIGTERM, end_soon)
        heartbeat = asyncio.create_task(self._beat())
        try:
            app = create_app(
                settings,
                slots=slots,
                in_force=workers.settings_reload.in_force,
                shown=workers.shown,
                placeholders=workers.settings_reload.placeholders,
            )
            if self.replaces_dead:
                app[METRICS].started_again()
            if not self.part:
                self._watch_shared_processes(app[METRICS].gauges)
            await serve(app, settings.server, workers.listeners, self._ready, stop)
        finally:
            heartbeat.cancel()

    def _watch_shared_processes(self, gauges: Gauges) -> None:
        """Report the processes that all which serve have in common. One of them does."""
        gauges.watch_processes("arbiter", lambda: (os.getppid(),))
        if (embedded := self.wsgi.embedded) is not None:
            gauges.watch_processes("cache", lambda: embedded.pids)

    def _ready(self) -> None:
        self.booted = True
        self.report_serving()
        if not self.is_first:  # `server.listening` reports the first ones
            log.info("server.worker_started", pid=self.pid)

    async def _beat(self) -> None:
        """Report to the arbiter that the event loop runs."""
        while True:
            self.notify()
            await asyncio.sleep(_HEARTBEAT)


def _end_with_arbiter(life: int, folder: Path) -> None:
    """End this process at once when the arbiter is dead: nothing is left to start another one, and the port is free.

    The requests in flight are lost. The arbiter cannot remove *folder*, and other processes may be removing it too.
    """
    while os.read(life, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _forget_gauges(_: Arbiter, worker: _Process) -> None:
    multiprocess.mark_process_dead(worker.number)  # type: ignore[no-untyped-call]
