"""What is cached beside renditions: whether a contact has a picture, and what it is. As JSON, never unpickled."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from functools import lru_cache
from types import UnionType

from service.formats import Format
from service.pictures.values import Failure, Fault, Original

MISSING = b"null"
"""The record of a contact without a picture."""
_LONGEST = 32_768
"""Bytes of a record; one with all the failures that are kept has 8 KiB."""
_SIDE, _MOMENT = 2**64, 253_402_300_800
"""Pixels of a side, as headers can have them, and Unix seconds, as HTTP's dates can: each is less."""


def encode(original: Original | None) -> bytes:
    """The record of *original*; of a missing one for None."""
    if original is None:
        return MISSING
    facts = asdict(original) | {"format": original.format.name}
    if original.fault and math.isinf(original.fault.until):
        facts["fault"] |= {"until": None}  # JSON has no infinity
    if not original.failures:
        del facts["failures"]  # so that processes of an earlier release can read it
    return json.dumps(facts).encode()


@lru_cache(4096)
def decode(record: bytes) -> Original | None:
    """What `encode` was given. Raises ValueError for what it never made. Memoised, for hot contacts' sake."""
    if len(record) > _LONGEST:
        raise ValueError("longer than any record")
    try:
        facts = json.loads(record)
        if facts is None:
            return None
        if fault := facts["fault"]:
            values = tuple((str(name), value) for name, value in fault["values"])
            until = math.inf if fault["until"] is None else fault["until"]
            facts["fault"] = Fault(fault["message"], values, until, fault["recipe"])
        if dimensions := facts["dimensions"]:  # records without it have another form of versions, and are a miss
            facts["dimensions"] = tuple(dimensions)
        facts["failures"] = tuple(Failure(**each) for each in facts.get("failures", ()))
        original = Original(**facts | {"format": Format[facts["format"]]})
        _check(original)
        return original
    except (KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError("no record of an original") from error


def _check(original: Original) -> None:
    """Raise TypeError for a record whose values are not of their kinds: whoever wrote it was not this service."""
    kinds: list[tuple[object, type | UnionType]] = [
        (original.contact, int),
        (original.version, str),
        (original.size, int),
        (original.modified, int | None),
        (original.alpha, bool),
        (original.strikes, int),
    ]
    if original.dimensions is not None:
        kinds += [(side, int) for side in original.dimensions]
        if len(original.dimensions) != 2 or not 0 < min(original.dimensions) <= max(original.dimensions) < _SIDE:
            raise ValueError("not a width and a height")
    for failure in original.failures:
        kinds += [(failure.field, str), (failure.until, int | float), (failure.strikes, int)]
    if fault := original.fault:
        kinds += [(fault.message, str), (fault.until, int | float), (fault.recipe, str)]
        kinds += [(value, str | int) for _, value in fault.values]
        _ = fault.values and fault.message % dict(fault.values)
    if not all(isinstance(value, kind) for value, kind in kinds):
        raise TypeError("a value of another kind")
    if original.size < 0 or original.strikes < 0 or not 0 <= (original.modified or 0) < _MOMENT:
        raise ValueError("a number out of its range")
