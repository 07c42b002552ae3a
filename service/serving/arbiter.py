"""A gunicorn arbiter that loses no signal while it forks, and whose messages are log events."""

from __future__ import annotations

import asyncio
import math
import mmap
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from service.serving.hangup import Hangup, meaning
from service.serving.listening import Listeners
from service.serving.reloading import Reload
from service.serving.stopping import CLEANUP, ENDING, HURRIED_CLEANUP, SignalCounter, end_after, ending_signals

log = structlog.get_logger()

_PAUSE = 0.05
"""Seconds between two looks at the processes that end."""
_FAILED_START_PAUSE = 1.0
"""Seconds until another attempt to start a process."""
_SPARE = 0.2
"""Seconds that a process may be late before it is killed, and twice that before the arbiter ends without cleanup."""

_BLOCKED = ENDING | {signal.SIGHUP}
"""Signals that are blocked while the arbiter forks."""

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


class ReplaceableWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """A process that serves, as the arbiter sees it.

    *generation* counts the reloads before its start. *part*, from 0, says which part of the renders it does. *number*
    is unique among the running processes; a successor with the same number continues the counters. *replaces_dead* says
    that it was started because another one has ended.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.generation = self.part = self.number = 0
        self.ends = self.replaces_dead = False
        self._serving = mmap.mmap(-1, 1)  # shared with the arbiter

    def report_serving(self) -> None:
        """Report to the arbiter that this process serves."""
        self._serving[0] = 1

    @property
    def serves(self) -> bool:
        """Whether the process has reported that it serves."""
        return self._serving[0] == 1


class SafeArbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """Listens on *listeners*, counts the signals that end the service, and orders its processes to stop.

    At SIGHUP it reloads the settings of *reload*, and replaces its processes: one new process serves before one of the
    others is ordered to end. It calls *every_second* about once a second.
    It blocks these signals while it forks. A new process still has the handlers of the arbiter, which would swallow a
    signal. It unblocks the signals when it has its own handlers.
    """

    def __init__(
        self, app: BaseApplication, listeners: Listeners, reload: Reload, every_second: Callable[[], None]
    ) -> None:
        self._every_second = every_second
        super().__init__(app)
        # The only descriptors of this process, so that closing them ends the listening.
        self.LISTENERS = [each for each in listeners if each is not None]
        self.stopping, self.hurrying = Broadcast(), Broadcast()
        self._server = reload.settings.server
        self._reload, self._generation, self._reloading = reload, 0, False
        self._starts_from = -math.inf
        self._ending = ending_signals()
        self._counter = SignalCounter(lambda: self.SIG_QUEUE.put_nowait(signal.SIGTERM), self.hurrying.send)

    def manage_workers(self) -> None:
        """Start processes in place of those that have ended. After a reload, replace one process after the other."""
        if time.monotonic() >= self._starts_from:
            try:
                self._start_missing()
                if self._reloading:
                    self._replace_one()
            except OSError as error:  # no descriptors, no processes, no memory, a full disk
                self._starts_from = time.monotonic() + _FAILED_START_PAUSE
                log.error("server.worker_not_started", reason=str(error))
        self._every_second()

    def place(self, worker: ReplaceableWorker) -> None:
        """Give *worker* a part that no staying process of its generation has, and the lowest free number for it."""
        taken = {other.part for other in self._staying() if other.generation == self._generation}
        worker.generation = self._generation
        worker.replaces_dead = worker.age > self.num_workers and len(self._staying()) < self.num_workers
        worker.part = min(set(range(self.num_workers)) - taken, default=0)
        numbers = {other.number for other in self.WORKERS.values()}
        worker.number = next(each for each in count(worker.part, self.num_workers) if each not in numbers)

    def _start_missing(self) -> None:
        while len(self._staying()) < self.num_workers:
            self.spawn_worker()

    def _replace_one(self) -> None:
        """Start a process if there is none in addition. If there is, and it serves, order another one to end."""
        staying = self._staying()
        outdated = [worker for worker in staying if worker.generation < self._generation]
        newest = staying[-1]
        if not outdated:
            if all(worker.generation == self._generation for worker in self.WORKERS.values()):
                self._reloading = False
                self._reload.report()
        elif len(staying) == self.num_workers:
            self.spawn_worker()
        elif newest.serves:
            last = next((worker for worker in outdated if worker.part == newest.part), outdated[0])
            last.ends = True
            self.kill_worker(last.pid, signal.SIGTERM)

    def _staying(self) -> list[ReplaceableWorker]:
        """Return the processes that were not ordered to end, the oldest first."""
        return sorted((worker for worker in self.WORKERS.values() if not worker.ends), key=lambda worker: worker.age)

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        signals: list[int] = super().wait_for_signals(_PAUSE if self._reloading else timeout)
        return signals

    def handle_hup(self) -> None:
        """Reload the settings. If that succeeds, all processes are outdated."""
        if self._reload.for_processes():
            self._generation += 1
            self._reloading = True

    def init_signals(self) -> None:
        """Count the signals that end. Ignore those that change the number of processes."""
        for number in self._ending:
            signal.signal(number, lambda *_: self._counter.receive())
        if meaning() is Hangup.RELOADS:
            signal.signal(signal.SIGHUP, self.signal)
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
            time.sleep(_PAUSE)  # the arbiter has no event loop
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
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            return super().spawn_worker()
        finally:
            self.unblock()

    @staticmethod
    def unblock() -> None:
        """Unblock the signals. Pending ones are delivered."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)


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
