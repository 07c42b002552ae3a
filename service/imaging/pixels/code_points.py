"""ICC profiles for colours that code points describe (ITU-T H.273). littlecms applies them.

Supported are the primaries of Display P3 and BT.2020, and the curves of televisions, PQ and HLG (BT.2100). PQ and HLG
are brighter than a screen's white; a tone curve maps each channel below it. Other primaries count as those of sRGB, and
colours with another curve count as sRGB.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache

from PIL import ImageCms

from service.imaging.containers.cicp import CodePoints

_BT709, _BT2020, _DISPLAY_P3 = 1, 9, 12
_SRGB, _PQ, _HLG = 13, 16, 18
_TELEVISION = (1, 6, 14, 15)
"""Transfer characteristics of BT.709, BT.601 and BT.2020 in 10 and 12 bits. Televisions use one curve for all."""

_TO_BT709 = {
    _BT709: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    _BT2020: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    _DISPLAY_P3: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
"""Matrices, in rows, from linear light in these primaries to linear light in those of sRGB. All have the white D65."""

_COLORANTS, _TONES = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC")
_STEPS = 4096
"""Points of a curve."""
_WHITE = 406.0
"""Candelas per square metre that become the white of sRGB without a tone curve. The reference white, 203, then becomes
188 of 255, as in Chromium 156."""
_PEAK = 1000.0
"""Candelas per square metre that become the white of sRGB with the tone curve."""


def profile(code_points: CodePoints) -> bytes | None:
    """Return an ICC profile for RGB in these colours, or None for those of sRGB."""
    primaries = code_points.primaries if code_points.primaries in _TO_BT709 else _BT709
    transfer = code_points.transfer
    if (transfer != _SRGB and transfer not in _CURVES) or (primaries, transfer) == (_BT709, _SRGB):
        return None
    return _profile(primaries, transfer)


def changes_grey(code_points: CodePoints) -> bool:
    """Return whether the curve is supported and not that of sRGB, so that grey changes, too."""
    return code_points.transfer in _CURVES


@lru_cache(maxsize=8)
def _profile(primaries: int, transfer: int) -> bytes:
    """Return the profile of sRGB with other colorants and curves (ICC.1:2022, 9.2, 10.6 and 10.31).

    It takes some milliseconds.
    """
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(made[128:132], "big")
    entries = {bytes(made[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    colorants = [int.from_bytes(made[entries[name] + 4 : entries[name] + 8], "big") + 8 for name in _COLORANTS]
    columns = [struct.unpack_from(">3i", made, at) for at in colorants]
    for number, at in enumerate(colorants):
        weights = [row[number] for row in _TO_BT709[primaries]]
        mixed = (sum(map(float.__mul__, weights, map(float, axis))) for axis in zip(*columns, strict=True))
        struct.pack_into(">3i", made, at, *map(round, mixed))
    if transfer in _CURVES:
        for name in _TONES:
            struct.pack_into(">2I", made, entries[name] + 4, len(made), 12 + 2 * _STEPS)
        values = (_CURVES[transfer](step / (_STEPS - 1)) for step in range(_STEPS))
        made += b"curv" + struct.pack(f">2I{_STEPS}H", 0, _STEPS, *(round(65_535 * value) for value in values))
        struct.pack_into(">I", made, 0, len(made))
    return bytes(made)


def _pq(signal: float) -> float:
    """Return the candelas per square metre of a PQ *signal* from 0 to 1 (BT.2100, table 4)."""
    root = signal ** (32 / 2523)
    return 10_000 * math.pow(max(0.0, root - 0.8359375) / (18.8515625 - 18.6875 * root), 8192 / 1305)


def _pq_signal(light: float) -> float:
    """Return the inverse of `_pq`."""
    root = (light / 10_000) ** (1305 / 8192)
    return math.pow((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root), 2523 / 32)


def _hlg(signal: float) -> float:
    """Return the candelas per square metre of an HLG *signal* on a display with a peak of 1,000 (BT.2100, table 5)."""
    scene = (signal * signal / 3) if signal <= 0.5 else (math.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return 1000 * math.pow(scene, 1.2)


def _television(signal: float) -> float:
    """Return the linear light, 0 to 1, of a television's *signal* (BT.1886)."""
    return math.pow(signal, 2.4)


def _toned(light: float) -> float:
    """Return linear sRGB, 0 to 1, for candelas per square metre.

    The curve is that of BT.2390 (5.4.1), linear up to a knee.
    """
    most, peak = _pq_signal(_WHITE), _pq_signal(_PEAK)
    signal, limit = min(1.0, _pq_signal(light) / peak), most / peak
    knee = 1.5 * limit - 0.5
    if signal > knee:
        t = (signal - knee) / (1 - knee)
        signal = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * limit
    return min(1.0, _pq(signal * peak) / _WHITE)


_CURVES: dict[int, Callable[[float], float]] = {
    **dict.fromkeys(_TELEVISION, _television),
    _PQ: lambda signal: _toned(_pq(signal)),
    _HLG: lambda signal: _toned(_hlg(signal)),
}
"""Functions from a signal, 0 to 1, to linear sRGB, by transfer characteristics."""
