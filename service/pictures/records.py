"""Records: what the store holds for a contact, as JSON. A record is never unpickled."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

from service.formats import Format
from service.pictures.values import LAST_SECOND, MOST_FAILURES, VERSION, Failure, Fault, Original
from service.protocol.languages import places

MISSING = b"null"
"""The record of a contact without a picture."""
_FACTS = tuple(field.name for field in fields(Original))
"""The names of the facts in a record, in their order."""
_NAMES = frozenset(_FACTS)
_MAX_RECORD = 32_768
"""Bytes of a record. A record with the largest number of failures has 8 KiB."""
_MAX_SIDE = 2**64 - 1
"""Pixels of a side at most, as a header can have them."""
_MAX_COUNT = 2**63 - 1
"""The largest number of bytes, strikes or pixels."""
_MAX_TIME = 1e11
"""Unix seconds that nothing reaches."""
_FIELD = re.compile(r"[ -~]{1,256}")
"""The form of a field in the cache."""
_RECIPE = re.compile(r"[0-9a-f]{0,32}")
"""The form of the digest of a recipe."""
_WORDS = re.compile(r"[^\x00-\x1f]{0,128}")
"""The form of a text in a message, such as the name of a format."""


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
    """Return what `encode` was given. Raise ValueError for other bytes. Records of hot contacts are memoised.

    No text of a record is formatted here, and each number is in its range: who has written the record is not known.
    """
    if len(record) > _MAX_RECORD:
        raise ValueError("longer than any record")
    try:
        facts = json.loads(record.decode())
        return None if facts is None else _original(facts)
    except (AttributeError, KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError("no record of an original") from error


def _original(facts: dict[str, Any]) -> Original:
    if not facts.keys() <= _NAMES:
        raise ValueError("a fact of another release")
    fault, modified, dimensions = facts["fault"], facts["modified"], facts["dimensions"]
    if type(facts["contact"]) is not int or type(facts["alpha"]) is not bool:
        raise ValueError("a value of another kind")
    failures = facts.get("failures", ())
    if len(failures) > MOST_FAILURES:
        raise ValueError("more failures than are recorded")
    return Original(
        facts["contact"],
        _text(facts["version"], VERSION),
        _number(facts["size"]),
        None if modified is None else _number(modified, LAST_SECOND),
        Format[facts["format"]],
        facts["alpha"],
        None if fault is None else _fault(**fault),
        _number(facts["strikes"]),
        None if dimensions is None else _dimensions(*dimensions),
        tuple(_failure(**each) for each in failures),
        _number(facts.get("strike_extent", 0)),
    )


def _fault(message: str, values: list[tuple[str, str | int]], until: float | None, recipe: str) -> Fault:
    """Return a fault whose message is one of the service's, with the values that this message has places for."""
    given = {name: value if type(value) is int else _text(value, _WORDS) for name, value in values}
    if places(message) != given.keys() or len(values) != len(given):
        raise ValueError("no message of this service")
    for value in given.values():
        if type(value) is int:
            _number(value)
    return Fault(message, tuple(given.items()), math.inf if until is None else _time(until), _text(recipe, _RECIPE))


def _failure(field: str, until: float, strikes: int) -> Failure:
    return Failure(_text(field, _FIELD), _time(until), _number(strikes))


def _dimensions(width: int, height: int) -> tuple[int, int]:
    return _number(width, _MAX_SIDE, least=1), _number(height, _MAX_SIDE, least=1)


def _number(value: object, most: int = _MAX_COUNT, *, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError("a number out of its range")
    return value


def _time(value: float) -> float:
    if type(value) not in (int, float) or not 0 <= value < _MAX_TIME:  # JSON may have infinity, and what is no number
        raise ValueError("a time out of its range")
    return value


def _text(value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError("a text of another form")
    return value
