"""Which initials can be drawn. This module does not import Pillow.

`python -m tools.fonts` writes the list of letters beside the fonts.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_MOST_MARKS = 2
"""Marks of one letter at most."""


class Letters(NamedTuple):
    """The letters of the font for alphabets and of the font for names, and the marks above and below letters."""

    alphabets: str
    names: str
    marks: str


@lru_cache(1)
def drawable() -> Letters:
    """Return the letters and marks that the fonts have."""
    path = Path(__file__).parent / "drawing" / "fonts" / "initials.txt"
    return Letters(*path.read_text("utf-8").splitlines())


def graphemes(letters: str) -> list[str]:
    """Return *letters* one by one, each with its marks."""
    parts: list[str] = []
    for each in letters:
        if parts and each in drawable().marks:
            parts[-1] += each
        else:
            parts.append(each)
    return parts


def can_draw(letters: str) -> bool:
    """Return whether every one of *letters* has a glyph."""
    known = drawable()
    return all(
        (part[0] in known.alphabets or part[0] in known.names) and len(part) <= 1 + _MOST_MARKS
        for part in graphemes(letters)
    )
