"""How cultures write whole numbers. The data is read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).parent / "locale" / "cultures.txt"
_DIGITS = re.compile("([0-9]+)")


@dataclass(frozen=True, slots=True)
class Grouping:
    """How digits are grouped: *nearest* digits in the last group, *further* in the others, *mark* between groups."""

    mark: str
    nearest: int
    further: int

    def write(self, number: int) -> str:
        """Return *number* in decimal digits."""
        digits = str(abs(number))
        groups = [digits[-self.nearest :]]
        rest = digits[: -self.nearest]
        while rest:
            groups.append(rest[-self.further :])
            rest = rest[: -self.further]
        return "-" * (number < 0) + self.mark.join(reversed(groups))


def load_cultures(file: Path = _FILE) -> Mapping[str, Grouping]:
    """Read the groupings by culture, a BCP 47 tag in lower case."""
    groupings = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        sample, _, tags = line.partition("\t")
        groupings.update(dict.fromkeys(tags.lower().split(), _grouping(sample)))
    return groupings


def _grouping(sample: str) -> Grouping:
    """Return the grouping of a *sample* with at least three groups, e.g. 12,34,56,789."""
    parts = _DIGITS.split(sample)[1:-1]
    if len(parts) == 1:
        return Grouping("", len(sample), len(sample))
    return Grouping(parts[1], len(parts[-1]), len(parts[-3]))
