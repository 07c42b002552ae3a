"""Records of originals: decoding returns what was encoded, and rejects other bytes."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats import Format
from service.pictures import records
from service.pictures.values import Failure, Fault, Original

faults = st.builds(
    Fault,
    st.text(st.characters(exclude_characters="%", exclude_categories=["Cs"])),
    st.lists(st.tuples(st.text(), st.integers() | st.text())).map(tuple),
    st.floats(min_value=0, max_value=1e12) | st.just(math.inf),
)
failures = st.builds(Failure, st.text(), st.floats(min_value=0, max_value=1e12), st.integers(0, 9))
originals = st.builds(
    Original,
    contact=st.integers(1, 2**31 - 1),
    version=st.text(),
    size=st.integers(0, 2**40),
    modified=st.none() | st.integers(0, 253_402_300_799),
    format=st.sampled_from(Format),
    alpha=st.booleans(),
    fault=st.none() | faults,
    strikes=st.integers(0, 9),
    dimensions=st.none() | st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)),
    failures=st.lists(failures, max_size=3).map(tuple),
    strike_extent=st.integers(0, 4_096),
)


@given(st.none() | originals)
def test_decode_returns_what_was_encoded(original: Original | None) -> None:
    assert records.decode(records.encode(original)) == original


@given(st.binary())
def test_decode_rejects_random_bytes(data: bytes) -> None:
    try:
        assert records.decode(data) is None
    except ValueError:
        pass


@pytest.mark.parametrize(
    "data", [b"{}", b"[]", b"1", b'{"fault": null, "format": "EXE"}', b'{"fault": 1}', b"[" * 9_999]
)
def test_decode_rejects_other_json(data: bytes) -> None:
    with pytest.raises(ValueError):
        records.decode(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"modified": "x"}, {"modified": 1e300}, {"contact": "x"}, {"strikes": None}, {"version": 7},
        {"strike_extent": "x"},
        {"failures": 1}, {"failures": [1]}, {"failures": [{"field": "f"}]},
        {"failures": [{"field": 1, "until": 1, "strikes": 1}]},
        {"failures": [{"field": "f", "until": "", "strikes": 1}]},
        {"size": -1}, {"modified": -1}, {"modified": 10**18}, {"strikes": -1}, {"version": "v" * 100_000},
        {"dimensions": [10**400, 1]}, {"dimensions": [2**64, 1]},
        {"failures": [{"field": "f", "until": 1, "strikes": 1}] * 1_000},
        {"fault": {"message": "%(a)c", "values": [["a", 10**12]], "until": None, "recipe": ""}},
        {"fault": {"message": "%(a)99999999999999d", "values": [["a", 1]], "until": None, "recipe": ""}},
    ],
)  # fmt: skip
def test_decode_rejects_values_of_other_types_and_ranges(changes: dict[str, object]) -> None:
    record = json.loads(records.encode(Original(1, "v", 10, 1_700_000_000, Format.JPEG, alpha=False)))
    with pytest.raises(ValueError):
        records.decode(json.dumps(record | changes).encode())


OLD = (
    b'{"contact": 42, "version": "2b0c1-1c4-1797f2a1b2c3d4e5", "size": 452, "modified": 1700000000, "format": "JPEG", '
    b'"alpha": false, "fault": null, "strikes": 0}'
)
"""A record of an older release, whose versions contain the inode."""


def test_record_of_an_older_release_is_a_miss() -> None:
    with pytest.raises(ValueError):
        records.decode(OLD)


def test_record_is_a_miss_for_an_older_release() -> None:
    """It passes all names of the record to its `Original`, which has no dimensions."""
    record = json.loads(records.encode(Original(1, "v", 10, 1_700_000_000, Format.JPEG, alpha=False)))
    assert record.keys() - json.loads(OLD).keys() == {"dimensions"}


@pytest.mark.parametrize("dimensions", [[1], [0, 1], [1, 2, 3], ["1", "2"], "12", 7, [1.5, 2]])
def test_decode_rejects_dimensions_other_than_a_width_and_a_height(dimensions: object) -> None:
    record = json.loads(records.encode(Original(1, "v", 10, 1_700_000_000, Format.JPEG, alpha=False)))
    with pytest.raises(ValueError):
        records.decode(json.dumps(record | {"dimensions": dimensions}).encode())


def test_record_without_failures_and_strikes_has_no_such_fields() -> None:
    """Processes of an earlier release can read it then."""
    original = Original(1, "v", 10, 1_700_000_000, Format.JPEG, alpha=False)
    assert json.loads(records.encode(original)).keys().isdisjoint({"failures", "strike_extent"})
