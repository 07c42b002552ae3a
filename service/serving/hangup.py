"""The meaning of SIGHUP, which depends on how the service was started.

This module imports little, so that the command has its handlers of signals early.
"""

from __future__ import annotations

import os
import signal
from enum import Enum, auto


class Hangup(Enum):
    """What SIGHUP does."""

    NOTHING = auto()
    """It was ignored when the service was started, as by `nohup`, and still is."""
    STOPS = auto()
    """Standard input is a terminal, which sends SIGHUP when it closes."""
    RELOADS = auto()


def meaning() -> Hangup:
    """Return what SIGHUP does to this service. Its first process calls this."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return Hangup.NOTHING
    return Hangup.STOPS if os.isatty(0) else Hangup.RELOADS
