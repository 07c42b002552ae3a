"""The ThumbHash of a picture: some 25 bytes that a page decodes to a blurred picture before the real one arrives.

The algorithm is Evan Wallace's (https://evanw.github.io/thumbhash/). The cosine transform is separated into rows and
columns: in Python, the double loop of the published code takes 15 ms, as long as half a render.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from math import cos, dist, floor, pi
from operator import mul

from PIL import Image

from service.imaging.geometry import Size

Vector = tuple[float, ...]

SIDE = 32
"""Pixels of the longer side of the reduced picture that the hash is made from."""


def thumb_hash(image: Image.Image) -> str:
    """Return the ThumbHash of *image* (L, LA, RGB or RGBA, at most 100 pixels wide and high) in base64."""
    channels = _channels(image)
    alpha = len(channels) == 4
    most, longer, wide = 5 if alpha else 7, max(image.size), image.width > image.height
    across, down = (max(1, _rounded(most * side / longer)) for side in image.size)
    means, scales, nibbles = [], [], []
    counts = (max(3, across), max(3, down)), (3, 3), (3, 3), (5, 5)
    for channel, count in zip(channels, counts, strict=False):  # without alpha there are three
        mean, *terms = _transformed(channel, image.size, count)
        scale = max(map(abs, terms))
        means.append(mean)
        scales.append(scale)
        nibbles += [_rounded(15 * (0.5 + 0.5 / scale * term)) if scale else 0 for term in terms]
    if alpha:
        nibbles = [_rounded(15 * means[3]), _rounded(15 * scales[3]), *nibbles]
    nibbles += [0] * (len(nibbles) % 2)
    tints = _rounded(31.5 + 31.5 * means[1]) << 6 | _rounded(31.5 + 31.5 * means[2]) << 12
    head = _rounded(63 * means[0]) | tints | _rounded(31 * scales[0]) << 18 | alpha << 23
    more = (down if wide else across) | _rounded(63 * scales[1]) << 3 | _rounded(63 * scales[2]) << 9 | wide << 15
    pairs = zip(nibbles[::2], nibbles[1::2], strict=True)
    packed = head.to_bytes(3, "little") + more.to_bytes(2, "little") + bytes(low | high << 4 for low, high in pairs)
    return b64encode(packed).decode()


def _channels(image: Image.Image) -> list[list[float]]:
    """Return the pixels of *image* as luminance, yellow minus blue, red minus green and, unless opaque, alpha."""
    red, green, blue, opacity = (band.tobytes() for band in image.convert("RGBA").split())
    if min(opacity) == 255:
        return _opponents(red, green, blue)
    alpha = [value / 255 for value in opacity]
    return [*_opponents(*(_on_average(band, alpha) for band in (red, green, blue))), alpha]


def _opponents(red: Sequence[float], green: Sequence[float], blue: Sequence[float]) -> list[list[float]]:
    return [
        [(r + g + b) / 765 for r, g, b in zip(red, green, blue, strict=True)],
        [(r + g - b - b) / 510 for r, g, b in zip(red, green, blue, strict=True)],
        [(r - g) / 255 for r, g in zip(red, green, strict=True)],
    ]


def _on_average(band: bytes, alpha: list[float]) -> list[float]:
    """Return *band* where its *alpha* is 1, and its average behind transparent pixels."""
    average = sum(map(mul, band, alpha)) / (sum(alpha) or 1.0)
    return [average + (value - average) * share for value, share in zip(band, alpha, strict=True)]


def _transformed(channel: list[float], size: Size, count: Size) -> list[float]:
    """Return the terms of the cosine transform below the diagonal of *count*: the mean, then the varying ones."""
    (width, height), (across, down) = size, count
    rows = [tuple(channel[at : at + width]) for at in range(0, len(channel), width)]
    terms = _products(_products(rows, _waves(width, across)), _waves(height, down))
    return [
        term / len(channel)
        for y, row in enumerate(terms)
        for x, term in enumerate(row)
        if x * down < across * (down - y)
    ]


def _products(vectors: Sequence[Vector], waves: Sequence[Vector]) -> list[Vector]:
    """Return for each of *waves* its inner products with all *vectors*: half of |a|² + |b|² - |a - b|².

    `math.dist` does the loop in C. A sum of products takes four times as long.
    """
    origin = (0.0,) * len(vectors[0])
    squares = [dist(vector, origin) ** 2 for vector in vectors]
    return [
        tuple((square + whole - dist(vector, wave) ** 2) / 2 for vector, square in zip(vectors, squares, strict=True))
        for wave, whole in ((wave, dist(wave, origin) ** 2) for wave in waves)
    ]


@lru_cache(128)
def _waves(length: int, count: int) -> list[Vector]:
    """Return the first *count* cosines of the transform at *length* pixels."""
    return [tuple(cos(pi / length * wave * (at + 0.5)) for at in range(length)) for wave in range(count)]


def _rounded(value: float) -> int:
    """Return *value* rounded half up, as in JavaScript."""
    return floor(value + 0.5)
