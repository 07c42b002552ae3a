"""The `Accept` header as values, RFC 9110 §12.5.1. This module does not know the service's formats and chooses none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from service.protocol.lists import QUALITY, TOKEN, list_elements
from service.protocol.memo import memoized

# parameters = *( OWS ";" OWS [ parameter ] ), §5.6.6; a quoted-string may hold any escaped character, §5.6.4.
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({TOKEN})=({TOKEN}|"(?:[^"\\]|\\.)*"))?', re.DOTALL)
_RANGE = re.compile(rf"({TOKEN})/({TOKEN})|\*(?=[ \t]*(?:;|\Z))")
"""A media-range without parameters, and `*` for `*/*`, which Java sends."""

NAMED, TYPE, ANY, NONE = 2, 1, 0, -1
"""Specificities of a range: the full media type, its type (`image/*`), any type (`*/*`), and no match."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The q-values by media range, in lower case and without parameters."""

    qualities: Mapping[str, float]

    def quality(self, media_type: str, aliases: Iterable[str] = ()) -> tuple[float, int]:
        """Return the q-value, 0 to 1, and the specificity of the most specific range that matches *media_type*.

        A range that equals one of the *aliases* (in lower case) counts as the full media type. When several of these
        names are given, the highest q-value counts.
        """
        media_type = media_type.lower()
        named = [self.qualities[name] for name in (media_type, *aliases) if name in self.qualities]
        if named:
            return max(named), NAMED
        for media_range, specificity in ((f"{media_type.partition('/')[0]}/*", TYPE), ("*/*", ANY)):
            if media_range in self.qualities:
                return self.qualities[media_range], specificity
        return 0.0, NONE

    @property
    def names_pictures(self) -> bool:
        """Whether a range with a q-value above 0 is the full media type of a picture, such as `image/svg+xml`."""
        return any(q and name.startswith("image/") and name != "image/*" for name, q in self.qualities.items())


@memoized
def parse_accept(raw: str) -> Accept:
    """Parse an `Accept` field value, whose lines are joined by commas. Raise nothing.

    A malformed element is ignored, which RFC 9110 allows. When no element is left, the field counts as `*/*`, as an
    absent one does. A range that is given twice has the higher q-value.
    """
    qualities: dict[str, float] = {}
    for element in list_elements(raw):
        parsed = _parse_element(element)
        if parsed is not None:
            media_range, quality = parsed
            qualities[media_range] = max(quality, qualities.get(media_range, 0.0))
    return Accept(qualities or {"*/*": 1.0})


def _parse_element(element: str) -> tuple[str, float] | None:
    """Return the media range in lower case and its q-value, which is 1 by default. Return None when malformed."""
    match = _RANGE.match(element)
    if match is None or (match[1] == "*" and match[2] != "*"):
        return None
    media_range = match[0].lower() if match[1] else "*/*"
    quality, position = None, match.end()
    while position < len(element):
        parameter = _PARAMETER.match(element, position)
        if parameter is None:
            return None
        name, value = parameter.groups()
        # "Recipients SHOULD process any parameter named "q" as weight, regardless of parameter ordering."
        if name and name.lower() == "q" and quality is None:
            if not QUALITY.fullmatch(value):
                return None
            quality = float(value)
        position = parameter.end()
    return media_range, 1.0 if quality is None else quality
