"""When something that keeps failing is asked again."""

from __future__ import annotations

import time


class CircuitBreaker:
    """Opens after *threshold* failures in a row, and lets one call in *pause* seconds try again.

    On the loop's clock: a library that reads the wall clock would stay open through a step of it.
    """

    def __init__(self, threshold: int, pause: float) -> None:
        self._threshold, self._pause = threshold, pause
        self._failures = 0
        self._retry_at = 0.0

    @property
    def open(self) -> bool:
        """Whether calls are refused at present, the next trial aside."""
        return self._failures >= self._threshold

    def admits(self) -> bool:
        """Whether a call may be made now; while open, the caller that is let in is the trial."""
        if not self.open:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._pause
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures = 0

    def failed(self) -> None:
        """A call was not answered."""
        self._failures += 1
        self._retry_at = time.monotonic() + self._pause
