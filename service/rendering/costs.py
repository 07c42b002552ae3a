"""The seconds that a render is expected to take, from those measured before."""

from __future__ import annotations

from service.formats import Format

_UNMEASURED = 0.05
"""Seconds for a megapixel, and for a render of unknown size, until `_ENOUGH` renders are measured."""
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

    def expected(self, format: Format | None, pixels: int, count: int = 1) -> float:
        """Return the seconds that *count* renders to *format*, of that many *pixels* together, are expected to take.

        Without *format*, return those of usual renders.
        """
        if self._count < _ENOUGH:
            return _UNMEASURED * (count if format is None else pixels / 1e6)
        if format is None:
            return count * self._of_all.mean()
        return self._by_format.get(format, self._of_all).of(pixels, count)

    def add(self, format: Format, pixels: int, seconds: float) -> None:
        """Count a render that took *seconds*."""
        self._count += 1
        for average in (self._of_all, self._by_format.setdefault(format, _Average())):
            average.add(pixels, seconds)


class _Average:
    """A moving average of the seconds for a megapixel, in which large renders weigh more."""

    def __init__(self) -> None:
        self._seconds = self._megapixels = self._renders = 0.0

    def of(self, pixels: int, count: int) -> float:
        return self._seconds / self._megapixels * _megapixels(pixels, count)

    def mean(self) -> float:
        return self._seconds / self._renders

    def add(self, pixels: int, seconds: float) -> None:
        self._renders = _KEPT * self._renders + 1
        self._seconds = _KEPT * self._seconds + seconds
        self._megapixels = _KEPT * self._megapixels + _megapixels(pixels)


def _megapixels(pixels: int, count: int = 1) -> float:
    return pixels / 1e6 + count * _FIXED
