"""Which bytes a `Range` asks for, RFC 9110 §14. One range at a time; knows no file and no response."""

from __future__ import annotations

import re

from service.protocol.lists import list_elements

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_DIGITS = 20
"""More than any length has. Longer numbers are cut to so many: as far past the end, and no work to read."""


def parse_range(field: str | None, length: int) -> range | None:
    """The positions that *field* asks for out of *length* bytes; none of them where it cannot be satisfied, §14.1.1.

    None where the whole is the answer, as §14.2 allows: no field, another unit, several ranges, or none that is valid.
    """
    unit, _, specs = (field or "").partition("=")
    if unit.strip(" \t").lower() != "bytes":  # case-insensitive, §14.1
        return None
    asked = list(list_elements(specs))
    match = _SPEC.fullmatch(asked[0]) if len(asked) == 1 else None
    if match is None or match[0] == "-":
        return None
    first, last = (_number(digits) if digits else None for digits in match.groups())
    if first is None:
        assert last is not None
        return range(max(length - last, 0), length)
    if last is not None and last < first:
        return None  # invalid, §14.1.1
    return range(min(first, length), length if last is None else min(last + 1, length))


def content_range(span: range, length: int) -> str:
    """`Content-Range` for *span* out of *length* bytes; for an empty one what 416 says, §14.4."""
    return f"bytes {span.start}-{span.stop - 1}/{length}" if span else f"bytes */{length}"


def _number(digits: str) -> int:
    return int(digits.lstrip("0")[:_DIGITS] or "0")
