"""The stop of the service: the signals that order it, and the time at which a process ends whatever still runs."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable

import structlog

from service.line_queue import STANDARD_ERROR
from service.serving.hangup import Hangup, meaning
from service.settings import ServerSettings

log = structlog.get_logger()

ENDING = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
"""Signals that end the service, however it was started."""
CLEANUP = 1.3
"""Seconds after `server.drain` and `server.shutdown_timeout` in which a process ends."""
HURRIED_CLEANUP = 1.0
"""Seconds after a second signal in which a process ends."""
_LAST_LINE = 0.25
"""Seconds to wait until the last line of the log is written."""
_TOGETHER = 0.5
"""Seconds in which signals count as one. A terminal and systemd send each signal to every process of a group."""


def ending_signals() -> frozenset[signal.Signals]:
    """Return the signals that end the service."""
    return ENDING | {signal.SIGHUP} if meaning() is Hangup.STOPS else ENDING


def end_after(seconds: float) -> None:
    """End this process after *seconds*, whatever still runs in it."""
    timer = threading.Timer(seconds, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    log.warning("server.stop_cut")
    STANDARD_ERROR.drain(_LAST_LINE)
    os._exit(0)


class SignalCounter:
    """Calls *stop* at the first signal, and *hurry* at each that arrives half a second after it or later."""

    def __init__(self, stop: Callable[[], None], hurry: Callable[[], None]) -> None:
        self._stop, self._hurry = stop, hurry
        self._first: float | None = None

    def receive(self) -> None:
        """Count one signal."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            self._stop()
        elif now - self._first >= _TOGETHER:
            self._hurry()


class Stop:
    """The stop of this process, which serves. It is ordered by `request`, and hurried by `hurry`.

    *announced* is set before: answers then close their connections.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.drain = settings.drain
        self.announced = asyncio.Event()
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()
        self._shutdown_timeout = settings.shutdown_timeout

    def request(self) -> None:
        """Order the stop. Requests are taken for another `drain` seconds."""
        if not self.requested.is_set():
            self.announced.set()
            self.requested.set()
            end_after(self.drain + self._shutdown_timeout + CLEANUP)

    def request_alone(self) -> None:
        """Order the stop of this process only. The others take the requests, so there is nothing to drain."""
        if not self.requested.is_set():
            self.drain = 0.0
            self.request()

    def hurry(self) -> None:
        """Order the end at once. Requests in flight are cut."""
        if not self.hurried.is_set():
            self.request()
            self.hurried.set()
            end_after(HURRIED_CLEANUP)
