"""SIGKILLs of render processes at work that this service has not sent. The kernel's OOM killer sends such signals."""

from __future__ import annotations

import time
from collections import deque

_PERIOD = 60.0
"""Seconds for which a SIGKILL shows that the host kills processes, whatever they render."""


class Kills:
    """The subjects of the renders whose processes were killed in the last minute."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, object]] = deque()

    def add(self, subject: object) -> None:
        """Record that the process that rendered *subject* was killed."""
        now = time.monotonic()
        while self._recent and self._recent[0][0] < now - _PERIOD:
            self._recent.popleft()
        self._recent.append((now, subject))

    def concern_others(self, subject: object) -> bool:
        """Return whether the process of another subject was killed in the last minute."""
        since = time.monotonic() - _PERIOD
        return any(each != subject and at >= since for at, each in self._recent)
