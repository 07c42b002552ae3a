"""What is cached beside renditions: whether a contact has a picture, and what it is. As JSON, never unpickled."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from functools import lru_cache

from service.formats import Format
from service.pictures.values import Fault, Original

MISSING = b"null"
"""The record of a contact without a picture."""


def encode(original: Original | None) -> bytes:
    """The record of *original*; of a missing one for None."""
    if original is None:
        return MISSING
    facts = asdict(original) | {"format": original.format.name}
    if original.fault and math.isinf(original.fault.until):
        facts["fault"] |= {"until": None}  # JSON has no infinity
    return json.dumps(facts).encode()


@lru_cache(4096)
def decode(record: bytes) -> Original | None:
    """What `encode` was given. Raises ValueError for what it never made. Memoised, for hot contacts' sake."""
    try:
        facts = json.loads(record)
        if facts is None:
            return None
        if fault := facts["fault"]:
            values = tuple((str(name), value) for name, value in fault["values"])
            until = math.inf if fault["until"] is None else fault["until"]
            facts["fault"] = Fault(fault["message"], values, until, fault["recipe"])
        return Original(**facts | {"format": Format[facts["format"]]})
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no record of an original") from error
