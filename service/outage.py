"""Outages of a dependency for the log. One that comes and goes has one outage, not one for each answer in between."""

from __future__ import annotations

import time

_CALM = 10.0
"""Seconds without a failure after which an answer ends an outage."""


class Outage:
    """An outage begins with a failure. It ends with the first answer that comes `_CALM` seconds after the last one.

    *lasts* says whether there is one, *failures* how many failures it has. It uses the monotonic clock.
    """

    def __init__(self) -> None:
        self.lasts = False
        self.failures = 0
        self._failed_at = 0.0

    def failed(self) -> bool:
        """Record a failure. Return whether an outage begins with it."""
        begins = not self.lasts
        self.lasts, self.failures, self._failed_at = True, 1 if begins else self.failures + 1, time.monotonic()
        return begins

    def answered(self) -> bool:
        """Record an answer. Return whether an outage ends with it."""
        if not self.lasts or time.monotonic() - self._failed_at < _CALM:
            return False
        self.lasts = False
        return True
