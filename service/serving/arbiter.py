"""A gunicorn arbiter that loses no signal while it forks, and whose messages are log events."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

log = structlog.get_logger()

ENDING = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP))
"""Signals that end the service."""

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


class SafeArbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """Blocks the signals that end the service while it forks. Calls *every_second* about once a second.

    A new process still has the handlers of the arbiter, which would swallow such a signal. It unblocks the signals when
    it has its own handlers.
    """

    def __init__(self, app: BaseApplication, every_second: Callable[[], None]) -> None:
        self._every_second = every_second
        super().__init__(app)

    def manage_workers(self) -> None:
        super().manage_workers()
        self._every_second()

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
