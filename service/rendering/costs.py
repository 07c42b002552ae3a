"""The seconds that a render is expected to take, from those measured before."""

from __future__ import annotations

from service.formats import Format

_UNMEASURED = 0.05
"""Seconds for a megapixel, until `_ENOUGH` renders are measured."""
_ENOUGH = 10
"""Renders after which the measured seconds count."""
_KEPT = 0.95
"""Share of the weight of earlier renders that remains after another one."""
_FIXED = 0.25
"""Megapixels that take as long as what every render takes, however small it is."""


class Costs:
    """The seconds of a render by format and pixels: those of the original and of the rendition together."""

    def __init__(self) -> None:
        self._count = 0
        self._of_all = _Average()
        self._by_format: dict[Format, _Average] = {}

    def expected(self, format: Format, pixels: int) -> float:
        """Return the seconds that a render to *format* of that many *pixels* is expected to take."""
        if self._count < _ENOUGH:
            return _UNMEASURED * pixels / 1e6
        return self._by_format.get(format, self._of_all).of(pixels)

    def add(self, format: Format, pixels: int, seconds: float) -> None:
        """Count a render that took *seconds*."""
        self._count += 1
        for average in (self._of_all, self._by_format.setdefault(format, _Average())):
            average.add(pixels, seconds)


class _Average:
    """A moving average of the seconds for a megapixel, in which large renders weigh more."""

    def __init__(self) -> None:
        self._seconds = self._megapixels = 0.0

    def of(self, pixels: int) -> float:
        return self._seconds / self._megapixels * _megapixels(pixels)

    def add(self, pixels: int, seconds: float) -> None:
        self._seconds = _KEPT * self._seconds + seconds
        self._megapixels = _KEPT * self._megapixels + _megapixels(pixels)


def _megapixels(pixels: int) -> float:
    return pixels / 1e6 + _FIXED
