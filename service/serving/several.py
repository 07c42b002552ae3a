"""Several processes on one port: gunicorn's arbiter keeps them, and each serves as a single one would.

The arbiter, this process, has no event loop and no application. It holds what there is once: the listening socket, the
private cache server, and a folder in which the processes' counts and slots to render lie.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import uvloop
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker
from prometheus_client import multiprocess, values
from pydantic import SecretStr

from service.caches.embedded import EmbeddedValkey
from service.rendering.slots import RenderSlots
from service.serving.arbiter import EventLogger, SafeArbiter
from service.serving.budget import share
from service.serving.one import serve
from service.settings import Settings
from service.wiring.app import private_server

log = structlog.get_logger()

_FROZEN = 30
"""Seconds after which a process whose event loop stands still is ended, and another started."""
_BEAT = 1.0
"""Seconds between two signs of life."""
_CLOSING = 10
"""Seconds beyond the requests' own that a process may take to end."""


def serve_by_several(
    settings: Settings, listener: socket.socket, ready: Callable[[], None], folder: Path, shown: Sequence[int] = ()
) -> None:
    """Serve on *listener* by `server.workers` processes until SIGTERM or SIGINT. *ready* is called before they start.

    *folder* is theirs alone, and `PROMETHEUS_MULTIPROC_DIR` names it, since before prometheus_client was imported.
    *shown* is as in `create_app`.
    """
    embedded = asyncio.run(private_server(settings.cache))  # once for all
    try:
        _Workers(settings, listener, ready, folder, embedded, shown).run()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        if embedded is not None:
            asyncio.run(embedded.stop())


class _Workers(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn is to run, and how."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        ready: Callable[[], None],
        folder: Path,
        embedded: EmbeddedValkey | None,
        shown: Sequence[int],
    ) -> None:
        self.settings, self.listener, self.ready = settings, listener, ready
        self.folder, self.embedded, self.shown = folder, embedded, shown
        super().__init__()

    def load_config(self) -> None:
        server = self.settings.server
        for name, value in {
            "bind": f"fd://{os.dup(self.listener.fileno())}",  # gunicorn closes what it is given
            "workers": server.workers,
            "worker_class": _Process,
            "timeout": _FROZEN,
            "graceful_timeout": math.ceil(2 * server.shutdown_timeout) + _CLOSING,
            "backlog": server.connections,
            "logger_class": EventLogger,
            "control_socket_disable": True,
            "when_ready": self._when_ready,
            "pre_fork": _number,
            "child_exit": _count_no_more,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> _Workers:
        return self

    def run(self) -> None:
        SafeArbiter(self).run()

    def _when_ready(self, _: Arbiter) -> None:
        """End gracefully on all that ends; reloading and changing the number are nothing that we do."""
        for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(each, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        for each in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(each, signal.SIG_IGN)
        self.ready()


class _Process(Worker):  # type: ignore[misc]  # gunicorn has no types
    """One of them; *number* is its own among those that run, from 0."""

    number = 0

    def init_signals(self) -> None:
        """Until the server has its own handlers, SIGTERM ends this process: the arbiter sends it for every stop."""
        for each in self.SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
            signal.signal(each, signal.SIG_IGN)
        SafeArbiter.unblock()

    def init_process(self) -> None:
        """Never returns: what the arbiter has on its stack, temporary folders say, is not ours to end."""
        code = Arbiter.WORKER_BOOT_ERROR
        try:
            super().init_process()
            code = 0
        except BaseException:
            code = code if not self.booted else 1
            log.exception("server.worker_failed")
        finally:
            sys.stdout.flush()
            os._exit(code)

    def run(self) -> None:
        fleet = self.wsgi
        self.booted = False  # until it serves: the arbiter gives up where none can
        if fleet.embedded is not None:
            fleet.embedded.disown()
        values.ValueClass = values.MultiProcessValue(lambda: self.number)  # type: ignore[no-untyped-call]
        settings, slots = share(fleet.settings, self.number, fleet.folder)
        if fleet.embedded is not None:
            cache = settings.cache.model_copy(update={"url": SecretStr(fleet.embedded.url)})
            settings = settings.model_copy(update={"cache": cache})
        uvloop.run(self._serve(settings, slots))
        if os.getppid() != self.ppid:
            shutil.rmtree(fleet.folder, ignore_errors=True)  # the arbiter cannot any more; others may be at it

    async def _serve(self, settings: Settings, slots: RenderSlots | None) -> None:
        alive = asyncio.create_task(self._beat())
        try:
            await serve(settings, self.wsgi.listener, self._ready, slots, self.wsgi.shown)
        finally:
            alive.cancel()

    def _ready(self) -> None:
        self.booted = True
        if self.age > self.cfg.workers:  # `server.listening` stands for the first ones
            log.info("server.worker_started", pid=self.pid)

    async def _beat(self) -> None:
        """Tell the arbiter that the loop slots, and end when there is no arbiter any more."""
        while os.getppid() == self.ppid:
            self.notify()
            await asyncio.sleep(_BEAT)
        os.kill(os.getpid(), signal.SIGTERM)


def _number(arbiter: Arbiter, worker: _Process) -> None:
    """The first number that none has: a successor counts on where its predecessor ended."""
    taken = {each.number for each in arbiter.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)


def _count_no_more(_: Arbiter, worker: _Process) -> None:
    multiprocess.mark_process_dead(worker.number)  # type: ignore[no-untyped-call]
