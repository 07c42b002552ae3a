"""The `Range` header, RFC 9110 §14, for one range at a time. This module does not use files."""

from __future__ import annotations

import re

from service.protocol.lists import list_elements

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_DIGITS = 20
"""Digits of a number that are read. A longer number is cut: it is beyond the end too, and costs no more to read."""


def parse_range(field: str | None, length: int) -> range | None:
    """Return the positions that *field* selects of *length* bytes: an empty range when it is unsatisfiable, §14.1.1.

    Return None when the answer is the whole, as §14.2 allows: for no field, another unit, several ranges, or an invalid
    one.
    """
    unit, _, specs = (field or "").partition("=")
    if unit.strip(" \t").lower() != "bytes":  # case-insensitive, §14.1
        return None
    ranges = list(list_elements(specs))
    match = _SPEC.fullmatch(ranges[0]) if len(ranges) == 1 else None
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
    """Return `Content-Range` for *span* of *length* bytes, or for a 416 when *span* is empty, §14.4."""
    return f"bytes {span.start}-{span.stop - 1}/{length}" if span else f"bytes */{length}"


def _number(digits: str) -> int:
    return int(digits.lstrip("0")[:_DIGITS] or "0")
