"""How long frames show and how often a film plays, in the numbers that each format can hold. Knows no files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from service.formats import Format

_LONGEST = {
    Format.GIF: 655_350,  # 16 bits of hundredths
    Format.PNG: 65_535_000,  # a fraction of 16 bits over 16 bits
    Format.WEBP: (1 << 24) - 1,  # 24 bits
    Format.AVIF: (1 << 31) - 1,  # 32 bits, which some readers take for signed ones
}
"""Milliseconds that one frame may show."""
_LONGEST_FILM = (1 << 31) - 1
"""Milliseconds of a whole WebP, whose writer counts them in a signed number of 32 bits."""
_LEAST = {Format.WEBP: 1, Format.AVIF: 1}
_FOR_NONE = {Format.WEBP: 100, Format.AVIF: 100}
"""Milliseconds in place of none: these formats have no frames of no duration. Browsers show such a frame that long."""
_UNITS = {Format.GIF: (10,), Format.PNG: (1, 10, 100, 1000)}
"""Milliseconds that a duration is a multiple of: the first unit that the format can express the duration in."""

_MOST_PLAYS = {
    Format.GIF: (1 << 16),  # it counts repetitions
    Format.PNG: (1 << 31) - 1,
    Format.WEBP: (1 << 16) - 1,
    Format.AVIF: (1 << 31) - 1,  # readers count in a signed number of 32 bits
}


def plays_within(plays: int, kind: Format) -> int:
    """The number nearest to *plays* that *kind* can hold; 0 is for ever."""
    return min(plays, _MOST_PLAYS[kind])


def durations(milliseconds: Sequence[float], kind: Format) -> list[int]:
    """Whole milliseconds that *kind* can hold, whose sum does not drift from that of the exact durations.

    A frame that shows for longer than the format can say shows for as long as it can.
    """
    longest = _LONGEST[kind]
    if kind is Format.WEBP:
        longest = min(longest, _LONGEST_FILM // len(milliseconds))
    written: list[int] = []
    end, so_far = 0.0, 0
    for time in milliseconds:
        end += min(time or _FOR_NONE.get(kind, 0), longest)
        written.append(min(longest, max(_LEAST.get(kind, 0), _expressed(end, so_far, kind))))
        so_far += written[-1]
    return written


def _expressed(end: float, start: int, kind: Format) -> int:
    """The duration from *start* to about *end*, in the finest unit in which it can be written."""
    for unit in _UNITS.get(kind, (1,)):
        time = round(end / unit) * unit - start
        if kind is not Format.PNG or Fraction(time, 1000).numerator <= 0xFFFF:
            return time
    return round((end - start) / 1000) * 1000
