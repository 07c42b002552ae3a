"""Signals before the server has its handlers."""

from __future__ import annotations

import signal
import sys


class EarlySignals:
    """Handlers of signals until the server has its own. Those that end the service end it with exit code 0."""

    def __init__(self) -> None:
        from service.serving.hangup import Hangup, meaning

        self._stop = self._hangup = False
        self.ending = {signal.SIGTERM, signal.SIGINT}
        if (of_hangup := meaning()) is Hangup.STOPS:
            self.ending.add(signal.SIGHUP)
        elif of_hangup is Hangup.RELOADS:
            signal.signal(signal.SIGHUP, self._remember)
        for number in self.ending:
            signal.signal(number, self._end)
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # their default is to end a process
            signal.signal(number, signal.SIG_IGN)

    def _end(self, *_: object) -> None:
        self._stop = True
        sys.exit(0)

    def _remember(self, *_: object) -> None:
        self._hangup = True

    def raise_pending(self) -> None:
        """Raise signals again that had no effect: SIGHUP if it reloads, and one that ends the service.

        Some modules swallow an exception that is raised while they are imported.
        """
        if self._hangup:
            signal.raise_signal(signal.SIGHUP)
        if self._stop:
            signal.raise_signal(signal.SIGTERM)
