"""An ICC profile for CMYK pictures that have none: inks on coated paper.

Subtraction, as in Pillow's `convert`, gives greens and blues that no ink has. This is the Neugebauer model: paper, inks
and overprints have measured colours (ISO 12647-2), and a halftone mixes them in proportion to the area that each of
them covers. The result is a small ICC profile, which littlecms applies.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import product

_GRID = 9
"""Steps of each of the four inks in the table."""
_YULE_NIELSEN = 2.0
"""The Yule-Nielsen factor: how far light spreads within the paper. 1 means not at all."""
_GAIN = 0.14
"""The dot gain: by how much the area of a dot of one half grows on the press."""

_Colour = tuple[float, float, float]

# CIE Lab under D50 of the paper and of every overprint, by its inks. Below black, the other inks are hardly visible.
_PRINTED: dict[str, _Colour] = {
    "": (95, 0, -2),
    "c": (55, -37, -50),
    "m": (48, 74, -3),
    "y": (89, -5, 93),
    "cm": (24, 22, -46),
    "cy": (50, -68, 27),
    "my": (47, 68, 48),
    "cmy": (23, 0, 0),
}
_BLACK: _Colour = (16, 0, 0)
"""CIE Lab of black ink alone."""
_ALL: _Colour = (10, 0, 0)
"""CIE Lab of all four inks."""

_WHITE: _Colour = (0.9642, 1.0, 0.8249)
"""XYZ of D50, the white of ICC's connection space."""


@lru_cache(maxsize=1)
def press_profile() -> bytes:
    """Return an ICC profile (version 2, class "prtr", CMYK to Lab in 8 bits). The first call takes about 100 ms."""
    steps = [_dot(step / (_GRID - 1)) for step in range(_GRID)]
    primaries = [_overprint(inks) for inks in product((0, 1), repeat=4)]
    table = b"".join(_lab8(_mixed(primaries, areas)) for areas in product(steps, repeat=4))
    straight = bytes(range(256))
    identity = struct.pack(">9i", *(65_536 if index % 4 == 0 else 0 for index in range(9)))
    lut = b"mft1" + bytes(4) + bytes((4, 3, _GRID, 0)) + identity + straight * 4 + table + straight * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(part * 65_536) for part in _WHITE))
    return _container({b"wtpt": white, b"A2B0": lut})


def _dot(area: float) -> float:
    """Return the area of a dot on paper."""
    return area + 4 * _GAIN * area * (1 - area)


def _overprint(inks: tuple[int, ...]) -> _Colour:
    """Return XYZ of an overprint, relative to the paper, in the model's mixing space."""
    name = "".join(letter for letter, on in zip("cmy", inks, strict=False) if on)
    lab = _PRINTED[name]
    if inks[3]:
        share = len(name) / 3
        lab = (_BLACK[0] + (_ALL[0] - _BLACK[0]) * share, lab[1] * 0.05, lab[2] * 0.05)
    x, y, z = (part / paper for part, paper in zip(_xyz(lab), _xyz(_PRINTED[""]), strict=True))
    return x ** (1 / _YULE_NIELSEN), y ** (1 / _YULE_NIELSEN), z ** (1 / _YULE_NIELSEN)


def _mixed(primaries: list[_Colour], areas: tuple[float, ...]) -> _Colour:
    """Return XYZ over white of a halftone. Dots are independent of each other (Demichel), and light mixes them."""
    mixture = [0.0, 0.0, 0.0]
    for inks, primary in zip(product((0, 1), repeat=4), primaries, strict=True):
        share = 1.0
        for on, area in zip(inks, areas, strict=True):
            share *= area if on else 1 - area
        if share:
            mixture = [sum_ + share * part for sum_, part in zip(mixture, primary, strict=True)]
    return mixture[0] ** _YULE_NIELSEN, mixture[1] ** _YULE_NIELSEN, mixture[2] ** _YULE_NIELSEN


def _xyz(lab: _Colour) -> _Colour:
    """Return XYZ over white of a CIE Lab colour."""
    y = (lab[0] + 16) / 116
    cubed = (y + lab[1] / 500, y, y - lab[2] / 200)
    x, y, z = (t**3 if t > 6 / 29 else (t - 16 / 116) * 3 * (6 / 29) ** 2 for t in cubed)
    return x, y, z


def _lab8(xyz: _Colour) -> bytes:
    """Return CIE Lab in ICC's 8-bit encoding."""
    x, y, z = (t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 16 / 116 for t in xyz)
    lightness, a, b = (116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128
    return bytes(min(255, max(0, round(part))) for part in (lightness, a, b))


def _container(tags: dict[bytes, bytes]) -> bytes:
    """Return an ICC profile with *tags* (ICC.1:2001-04, clauses 6.1 and 6.2)."""
    at = 128 + 4 + 12 * len(tags)
    directory, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        directory += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(part * 65_536) for part in _WHITE))
    return head.ljust(128, b"\0") + directory + body
