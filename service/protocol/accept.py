"""The `Accept` header as values, RFC 9110 §12.5.1. Knows no formats of ours and makes no choice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from service.protocol.lists import QUALITY, TOKEN, list_elements
from service.protocol.memo import memoized

# parameters = *( OWS ";" OWS [ parameter ] ), §5.6.6; a quoted-string may hold any escaped character, §5.6.4.
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({TOKEN})=({TOKEN}|"(?:[^"\\]|\\.)*"))?', re.DOTALL)
_RANGE = re.compile(rf"({TOKEN})/({TOKEN})|\*(?=[ \t]*(?:;|\Z))")
"""media-range without parameters, and `*` alone for `*/*`, which Java sends."""

NAMED, TYPE, ANY, NONE = 2, 1, 0, -1
"""Specificities: a range names the media type in full, its type alone (`image/*`), anything (`*/*`); none matches."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The q-value of each media range, by the range in lower case without its parameters."""

    qualities: Mapping[str, float]

    def quality(self, media_type: str, aliases: Iterable[str] = ()) -> tuple[float, int]:
        """The q-value of the most specific range that matches *media_type*, 0 to 1, and that range's specificity.

        A range that is one of the *aliases*, in lower case, names it in full. The highest q-value of its names counts.
        """
        media_type = media_type.lower()
        named = [self.qualities[each] for each in (media_type, *aliases) if each in self.qualities]
        if named:
            return max(named), NAMED
        for media_range, specificity in ((f"{media_type.partition('/')[0]}/*", TYPE), ("*/*", ANY)):
            if media_range in self.qualities:
                return self.qualities[media_range], specificity
        return 0.0, NONE

    @property
    def names_pictures(self) -> bool:
        """Whether a range with a q-value above 0 names a media type of pictures in full, one of ours or not."""
        return any(q and each.startswith("image/") and each != "image/*" for each, q in self.qualities.items())


@memoized
def parse_accept(raw: str) -> Accept:
    """Read an `Accept` field value (several lines joined by commas). Never raises.

    RFC 9110 leaves malformed elements to us: each is passed over, its q-value with it. Where no element is left, the
    field says no more than an absent one, and that is `*/*`. A range that stands twice keeps its higher q-value.
    """
    qualities: dict[str, float] = {}
    for element in list_elements(raw):
        read = _read(element)
        if read is not None:
            media_range, quality = read
            qualities[media_range] = max(quality, qualities.get(media_range, 0.0))
    return Accept(qualities or {"*/*": 1.0})


def _read(element: str) -> tuple[str, float] | None:
    """The media range in lower case and its q-value, 1 where none is given; None for a malformed element."""
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
