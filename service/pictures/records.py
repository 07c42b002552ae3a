"""Records: what the store holds for a contact, as JSON. A record is never unpickled."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from functools import lru_cache
from types import UnionType

from service.formats import Format
from service.pictures.values import LAST_SECOND, Failure, Fault, Original

MISSING = b"null"
"""The record of a contact without a picture."""
_FACTS = tuple(field.name for field in fields(Original))
"""The names of the facts in a record, in their order."""
_MAX_RECORD = 32_768
"""Bytes of a record. A record with the largest number of failures has 8 KiB."""
_MAX_SIDE = 2**64
"""Pixels of a side; every side in a header is smaller."""


def encode(original: Original | None) -> bytes:
    """Return the record of *original*; with None, of a missing original."""
    if original is None:
        return MISSING
    facts = {name: getattr(original, name) for name in _FACTS}  # `asdict` copies each value, which takes 17 µs
    facts["format"] = original.format.name
    if original.fault:
        facts["fault"] = asdict(original.fault)
        if original.fault.permanent:
            facts["fault"]["until"] = None  # JSON has no infinity
    if original.failures:
        facts["failures"] = [asdict(each) for each in original.failures]
    else:
        del facts["failures"]  # processes of an earlier release can read the record then
    if not original.strike_extent:
        del facts["strike_extent"]  # likewise
    return json.dumps(facts).encode()


@lru_cache(4096)
def decode(record: bytes) -> Original | None:
    """Return what `encode` was given. Raise ValueError for other bytes. Records of hot contacts are memoised."""
    if len(record) > _MAX_RECORD:
        raise ValueError("longer than any record")
    try:
        facts = json.loads(record.decode())
        if facts is None:
            return None
        if fault := facts["fault"]:
            values = tuple((str(name), value) for name, value in fault["values"])
            until = math.inf if fault["until"] is None else fault["until"]
            facts["fault"] = Fault(fault["message"], values, until, fault["recipe"])
        if dimensions := facts["dimensions"]:  # a KeyError for records of an earlier release, whose versions differ
            facts["dimensions"] = tuple(dimensions)
        facts["failures"] = tuple(Failure(**each) for each in facts.get("failures", ()))
        original = Original(**facts | {"format": Format[facts["format"]]})
        _check(original)
        return original
    except (KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError("no record of an original") from error


def _check(original: Original) -> None:
    """Raise TypeError or ValueError for values that this service does not write."""
    kinds: list[tuple[object, type | UnionType]] = [
        (original.contact, int),
        (original.version, str),
        (original.size, int),
        (original.modified, int | None),
        (original.alpha, bool),
        (original.strikes, int),
        (original.strike_extent, int),
    ]
    if original.dimensions is not None:
        kinds += [(side, int) for side in original.dimensions]
        if len(original.dimensions) != 2 or not 0 < min(original.dimensions) <= max(original.dimensions) < _MAX_SIDE:
            raise ValueError("not a width and a height")
    for failure in original.failures:
        kinds += [(failure.field, str), (failure.until, int | float), (failure.strikes, int)]
    if fault := original.fault:
        kinds += [(fault.message, str), (fault.until, int | float), (fault.recipe, str)]
        kinds += [(value, str | int) for _, value in fault.values]
        _ = fault.values and fault.message % dict(fault.values)
    if not all(isinstance(value, kind) for value, kind in kinds):
        raise TypeError("a value of another kind")
    if original.size < 0 or original.strikes < 0 or not 0 <= (original.modified or 0) <= LAST_SECOND:
        raise ValueError("a number out of its range")
