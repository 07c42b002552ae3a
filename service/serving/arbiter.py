"""A gunicorn arbiter that loses no signal while it forks, and whose messages are log events."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger

from service.serving.stopping import CLEANUP, ENDING, HURRIED_CLEANUP, SignalCounter, end_after, ending_signals
from service.settings import ServerSettings

log = structlog.get_logger()

_PAUSE = 0.05
"""Seconds between two looks at the processes that end."""
_SPARE = 0.2
"""Seconds that a process may be late before it is killed, and twice that before the arbiter ends without cleanup."""

_EVENTS = {
    "WORKER TIMEOUT (pid:%s)": ("server.worker_frozen", "pid"),
    "Worker (pid:%s) was sent %s!": ("server.worker_killed", "pid", "signal"),
    "Worker (pid:%s) was sent %s! Perhaps out of memory?": ("server.worker_killed", "pid", "signal"),
    "Worker (pid:%s) exited with code %s.": ("server.worker_ended", "pid", "code"),
    "Reason: %s": ("server.gave_up", "reason"),
    "Unhandled exception in main loop": ("server.failed",),
}
"""By message of gunicorn: the event, and the names of the arguments."""
_DROPPED = frozenset(("Shutting down: %s",))
"""Messages that repeat what other events report."""


class Broadcast:
    """A message without content to all processes that this process forks: the end of a pipe.

    The death of the sender is the same message.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self.sent = False

    def send(self) -> None:
        """Send the message. A second call has no effect."""
        if not self.sent:
            self.sent = True
            os.close(self._writer)

    def receive(self, receiver: Callable[[], None]) -> None:
        """Have the event loop of this forked process call *receiver* when the message arrives."""
        loop = asyncio.get_running_loop()

        def received() -> None:
            loop.remove_reader(self._reader)
            receiver()

        loop.add_reader(self._reader, received)

    def disown(self) -> None:
        """Close the sender's end in a forked process, so that only the sender holds it."""
        self.send()


class SafeArbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """Listens on *listener*, counts the signals that end the service, and orders its processes to stop.

    It calls *every_second* about once a second.
    It blocks these signals while it forks. A new process still has the handlers of the arbiter, which would swallow a
    signal. It unblocks the signals when it has its own handlers.
    """

    def __init__(
        self, app: BaseApplication, listener: socket.socket, settings: ServerSettings, every_second: Callable[[], None]
    ) -> None:
        self._every_second = every_second
        super().__init__(app)
        self.LISTENERS = [listener]  # the only descriptor of this process, so that closing it ends the listening
        self.stopping, self.hurrying = Broadcast(), Broadcast()
        self._server = settings
        self._ending = ending_signals()
        self._counter = SignalCounter(lambda: self.SIG_QUEUE.put_nowait(signal.SIGTERM), self.hurrying.send)

    def manage_workers(self) -> None:
        super().manage_workers()
        self._every_second()

    def init_signals(self) -> None:
        """Count the signals that end. Ignore those that reload or change the number of processes."""
        for number in self._ending:
            signal.signal(number, lambda *_: self._counter.receive())
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, self.signal_chld)

    def stop(self, graceful: bool = True) -> None:
        """Order every process to stop, and close the listening socket when they do. Kill those that are late."""
        drained = time.monotonic() + self._server.drain
        late = drained + self._server.shutdown_timeout + CLEANUP + _SPARE
        end_after(late + _SPARE - time.monotonic())
        self.stopping.send()
        if not graceful:
            self.hurrying.send()
        hurrying = False
        while self.WORKERS and time.monotonic() < late:
            if self.hurrying.sent and not hurrying:
                hurrying = True
                drained = time.monotonic()
                late = min(late, drained + HURRIED_CLEANUP + _SPARE)
                end_after(late + _SPARE - drained)
            if time.monotonic() >= drained:
                self._close_listeners()
            self._reap()
            time.sleep(_PAUSE)
        self._close_listeners()
        self.kill_workers(signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        with suppress(HaltServer):  # a process that cannot start makes the arbiter stop, which it does already
            self.reap_workers()

    def _close_listeners(self) -> None:
        while self.LISTENERS:
            self.LISTENERS.pop().close()

    def spawn_worker(self) -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            return super().spawn_worker()
        finally:
            self.unblock()

    @staticmethod
    def unblock() -> None:
        """Unblock the signals. Pending ones are delivered."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


class EventLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Logs gunicorn's warnings and errors as events. Messages of lower levels are dropped."""

    def setup(self, cfg: Any) -> None:
        """Add no handlers, so that gunicorn writes no lines."""

    def critical(self, msg: str, *args: Any, **more: Any) -> None:
        _log_event("error", msg, args, more)

    def error(self, msg: str, *args: Any, **more: Any) -> None:
        _log_event("error", msg, args, more)

    def exception(self, msg: str, *args: Any, **more: Any) -> None:
        _log_event("error", msg, args, {"exc_info": True} | more)

    def warning(self, msg: str, *args: Any, **more: Any) -> None:
        _log_event("warning", msg, args, more)

    def info(self, msg: str, *args: Any, **more: Any) -> None:
        pass

    def debug(self, msg: str, *args: Any, **more: Any) -> None:
        pass


def _log_event(level: str, message: object, args: tuple[Any, ...], more: dict[str, Any]) -> None:
    template = str(message)
    if template in _DROPPED:
        return
    fields = {"exc_info": more["exc_info"]} if more.get("exc_info") else {}
    event, *names = _EVENTS.get(template, ("",))
    if event and len(names) == len(args):
        fields |= dict(zip(names, args, strict=True))
    else:  # a message without a row in `_EVENTS`
        event = "server.arbiter"
        fields |= {"message": template, "values": list(map(str, args))}
    getattr(log, level)(event, **fields)
