"""A decoder of ThumbHashes, after the published one, for tests."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from math import cos, pi

Colour = tuple[float, float, float, float]
"""Red, green, blue and alpha, 0 to 255."""


class ThumbHash:
    """A decoded ThumbHash. `at` returns the colour at a share of the width and of the height."""

    def __init__(self, text: str) -> None:
        data = b64decode(text, validate=True)
        head, more = int.from_bytes(data[:3], "little"), int.from_bytes(data[3:5], "little")
        self.alpha, self.landscape = bool(head >> 23), bool(more >> 15)
        most = 5 if self.alpha else 7
        sides = (most, more & 7) if self.landscape else (more & 7, most)
        self.ratio = sides[0] / sides[1]
        terms = iter([half for byte in data[6 if self.alpha else 5 :] for half in (byte & 15, byte >> 4)])
        self._light = _Channel((head & 63) / 63, (head >> 18 & 31) / 31, (max(3, sides[0]), max(3, sides[1])), terms)
        self._blue = _Channel((head >> 6 & 63) / 31.5 - 1, (more >> 3 & 63) / 63 * 1.25, (3, 3), terms)
        self._green = _Channel((head >> 12 & 63) / 31.5 - 1, (more >> 9 & 63) / 63 * 1.25, (3, 3), terms)
        if self.alpha:
            self._opacity = _Channel((data[5] & 15) / 15, (data[5] >> 4) / 15, (5, 5), terms)

    def at(self, across: float, down: float) -> Colour:
        light, by_blue, by_green = (each.at(across, down) for each in (self._light, self._blue, self._green))
        blue = light - 2 / 3 * by_blue
        red = (3 * light - blue + by_green) / 2
        opacity = self._opacity.at(across, down) if self.alpha else 1.0
        red, green, blue, opacity = (255 * min(1.0, max(0.0, each)) for each in (red, red - by_green, blue, opacity))
        return red, green, blue, opacity

    @property
    def quarters(self) -> list[Colour]:
        """The colours of the middles of the four quarters."""
        return [self.at(across, down) for down in (0.25, 0.75) for across in (0.25, 0.75)]


class _Channel:
    def __init__(self, mean: float, scale: float, count: tuple[int, int], terms: Iterator[int]) -> None:
        across, down = count
        places = [(x, y) for y in range(down) for x in range(across) if (x or y) and x * down < across * (down - y)]
        self._mean, self._terms = mean, [(x, y, (next(terms) / 7.5 - 1) * scale) for x, y in places]

    def at(self, across: float, down: float) -> float:
        return self._mean + sum(2 * term * cos(pi * x * across) * cos(pi * y * down) for x, y, term in self._terms)
