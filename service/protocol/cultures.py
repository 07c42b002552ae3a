"""How cultures write whole numbers. Knows no language's words, and reads its data once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).parent / "locale" / "cultures.txt"
_DIGITS = re.compile("([0-9]+)")


@dataclass(frozen=True, slots=True)
class Grouping:
    """How digits are grouped: *nearest* of them at the end, *further* in each group before it, *mark* between."""

    mark: str
    nearest: int
    further: int

    def write(self, number: int) -> str:
        """*number* in decimal digits."""
        digits = str(abs(number))
        groups = [digits[-self.nearest :]]
        rest = digits[: -self.nearest]
        while rest:
            groups.append(rest[-self.further :])
            rest = rest[: -self.further]
        return "-" * (number < 0) + self.mark.join(reversed(groups))


def load_cultures(file: Path = _FILE) -> Mapping[str, Grouping]:
    """The grouping of each culture, by BCP 47 tag in lower case."""
    groupings = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        sample, _, tags = line.partition("\t")
        groupings.update(dict.fromkeys(tags.lower().split(), _grouping(sample)))
    return groupings


def _grouping(sample: str) -> Grouping:
    """The grouping that a long number shows, e.g. 12,34,56,789."""
    parts = _DIGITS.split(sample)[1:-1]
    if len(parts) == 1:
        return Grouping("", len(sample), len(sample))
    return Grouping(parts[1], len(parts[-1]), len(parts[-3]))
