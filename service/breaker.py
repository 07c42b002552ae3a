"""A circuit breaker: a dependency that keeps failing is called only once in a while."""

from __future__ import annotations

import time


class CircuitBreaker:
    """Opens after *threshold* failures in a row. While it is open, one call in *pause* seconds is a trial.

    It uses the monotonic clock, since a step of the wall clock would keep it open.
    """

    def __init__(self, threshold: int, pause: float) -> None:
        self._threshold, self._pause = threshold, pause
        self._failures = 0
        self._retry_at = 0.0

    @property
    def open(self) -> bool:
        """Whether calls are refused at present, apart from trials."""
        return self._failures >= self._threshold

    def admits(self) -> bool:
        """Return whether a call may be made now. While the breaker is open, True makes this call the trial."""
        if not self.open:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._pause
        return True

    def succeeded(self) -> None:
        """Record a call that was answered, and close the breaker."""
        self._failures = 0

    def failed(self) -> None:
        """Record a call that was not answered."""
        self._failures += 1
        self._retry_at = time.monotonic() + self._pause
