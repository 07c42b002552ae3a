"""The durations of frames and the number of plays, rounded to what an animated format can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Timing:
    """The durations and the numbers of plays that one format can hold."""

    longest: int
    """Milliseconds of one frame at most."""
    most_plays: int
    """Plays at most."""
    shortest: int = 0
    """Milliseconds of one frame at least."""
    instead_of_zero: int = 0
    """Milliseconds of a frame whose duration is 0 in the original, where the format has no such frames."""
    units: tuple[int, ...] = (1,)
    """Milliseconds that a duration is a multiple of. The first unit in which a duration can be written is used."""
    short_fractions: bool = False
    """Whether a duration is a fraction of a second with a numerator of 16 bits."""
    longest_animation: int | None = None
    """Milliseconds of all frames together at most."""

    def plays(self, plays: int) -> int:
        """Return the number nearest to *plays* that the format can hold. 0 means without end."""
        return min(plays, self.most_plays)

    def durations(self, milliseconds: Sequence[float]) -> list[int]:
        """Return whole *milliseconds* that the format can hold. Their sum does not drift from the exact sum.

        A frame with a duration longer than `longest` gets `longest`.
        """
        longest = self.longest
        if self.longest_animation is not None:
            longest = min(longest, self.longest_animation // len(milliseconds))
        written: list[int] = []
        end, so_far = 0.0, 0
        for time in milliseconds:
            end += min(time or self.instead_of_zero, longest)
            written.append(min(longest, max(self.shortest, self._rounded(end, so_far))))
            so_far += written[-1]
        return written

    def _rounded(self, end: float, start: int) -> int:
        """Return the duration from *start* to about *end*, in the finest unit in which it can be written."""
        for unit in self.units:
            time = round(end / unit) * unit - start
            if not self.short_fractions or Fraction(time, 1000).numerator <= 0xFFFF:
                return time
        return round((end - start) / 1000) * 1000
