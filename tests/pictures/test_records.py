"""Records of originals: decoding returns what was encoded, and rejects other bytes."""

from __future__ import annotations

import ast
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats import Format
from service.pictures import records
from service.pictures.values import Failure, Fault, Original
from service.protocol.languages import places
from service.stores.versions import version_of

VERSION = "1c4-1797f2a1b2c3d4e5-0123456789abcdef01234567"
SOUND = json.loads(records.encode(Original(1, VERSION, 10, 1_700_000_000, Format.JPEG, alpha=False)))
UNSUPPORTED = "%(kind)s pictures are not supported."


def version(size: int, time_ns: int, head: bytes) -> str:
    """Return the version that the store gives to a file."""
    return version_of(os.stat_result((*[0] * 6, size, *[0] * 7, time_ns)), head)


times = st.floats(0, 1e10)
kinds = st.integers(0, 2**63 - 1) | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=128)
ends = times | st.just(math.inf)
faults = st.builds(Fault, st.just("The picture is corrupt."), st.just(()), ends) | st.builds(
    Fault, st.just(UNSUPPORTED), st.tuples(st.tuples(st.just("kind"), kinds)), ends, st.just("0123abcd")
)
failures = st.builds(Failure, st.from_regex(r"\A[ -~]{1,256}\Z"), times, st.integers(0, 9))
originals = st.builds(
    Original,
    contact=st.integers(1, 2**31 - 1),
    version=st.builds(version, st.integers(0, 2**40), st.integers(-(2**62), 2**62), st.binary(max_size=9)),
    size=st.integers(0, 2**40),
    modified=st.none() | st.integers(0, 253_402_300_799),
    format=st.sampled_from(Format),
    alpha=st.booleans(),
    fault=st.none() | faults,
    strikes=st.integers(0, 9),
    dimensions=st.none() | st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)),
    failures=st.lists(failures, max_size=3).map(tuple) | st.lists(failures, min_size=64, max_size=64).map(tuple),
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
        {"failures": [{"field": "f", "until": 1, "strikes": 1}] * 65}, {"failures": {}, "more": 1},
        {"failures": [{"field": "f", "until": math.nan, "strikes": 1}]},
        {"failures": [{"field": "f", "until": math.inf, "strikes": 1}]},
        {"failures": [{"field": "f", "until": 1, "strikes": -1}]},
        {"failures": [{"field": "f" * 257, "until": 1, "strikes": 1}]},
        {"failures": [{"field": "f\r\n", "until": 1, "strikes": 1}]},
        {"size": 10**300}, {"size": True}, {"size": 1.0}, {"contact": True}, {"alpha": 1}, {"strikes": 10**300},
        {"strike_extent": -1}, {"version": ""}, {"version": "v"}, {"version": "a-b-0123456789abcdef0123456\n"},
        {"fault": 0}, {"fault": {}}, {"dimensions": 0}, {"dimensions": []}, {"format": []}, {"format": "EXE"},
    ],
)  # fmt: skip
def test_decode_rejects_values_of_other_types_and_ranges(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        records.decode(json.dumps(SOUND | changes).encode())


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("%(a)c", [["a", 10**12]]),
        ("%(a)3000000d", [["a", 1]]),  # 1000000000d took 11 GB
        ("%(kind)3000000s pictures are not supported.", [["kind", "TIFF"]]),
        ("Send your password to the administrator.", []),
        ("The picture is corrupt.", [["kind", "TIFF"]]),
        (UNSUPPORTED, []),
        (UNSUPPORTED, [["format", "TIFF"]]),
        (UNSUPPORTED, [["kind", "TIFF"], ["kind", "TIFF"]]),
        (UNSUPPORTED, [["kind", "x" * 129]]),
        (UNSUPPORTED, [["kind", "a\r\nb"]]),
        (UNSUPPORTED, [["kind", 2**63]]),
        (UNSUPPORTED, [["kind", -1]]),
        (UNSUPPORTED, [["kind", 1.5]]),
        (UNSUPPORTED, [["kind", True]]),
        (UNSUPPORTED, [["kind", None]]),
        (UNSUPPORTED, [["kind", ["TIFF"]]]),
        (UNSUPPORTED, [[["kind"], "TIFF"]]),
        (UNSUPPORTED, "kind"),
        (7, []),
        ([], []),
        ("", []),
    ],
)
@pytest.mark.parametrize("until", [None, 1_700_000_000])
def test_decode_rejects_messages_and_values_that_are_not_the_service_s(
    message: object, values: object, until: object
) -> None:
    fault = {"message": message, "values": values, "until": until, "recipe": ""}
    with pytest.raises(ValueError):
        records.decode(json.dumps(SOUND | {"fault": fault}).encode())


@pytest.mark.parametrize(
    "changes", [{"until": math.nan}, {"until": math.inf}, {"until": -1}, {"until": 1e12}, {"until": "1"},
                {"recipe": "r"}, {"recipe": None}, {"more": 1}, {"recipe": "0" * 33}],
)  # fmt: skip
def test_decode_rejects_faults_of_other_ends_and_recipes(changes: dict[str, object]) -> None:
    fault = {"message": "The picture is corrupt.", "values": [], "until": None, "recipe": ""}
    assert records.decode(json.dumps(SOUND | {"fault": fault}).encode()) is not None
    with pytest.raises(ValueError):
        records.decode(json.dumps(SOUND | {"fault": fault | changes}).encode())


def test_every_message_of_a_fault_is_known() -> None:
    """Those that the code gives to the errors that faults are recorded from. A record with another one is a miss."""
    given = set()
    for file in (Path(__file__).parents[2] / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="Unrenderable" | "Unsupported" | "OutOfMemory"),
                    args=[ast.Call(func=ast.Name(id="N_"), args=[ast.Constant(value=str(message))]), *_],
                ):
                    given.add(message)
    assert len(given) >= 12
    assert [message for message in given if places(message) is None] == []


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
    assert SOUND.keys() - json.loads(OLD).keys() == {"dimensions"}


@pytest.mark.parametrize("dimensions", [[1], [0, 1], [1, 2, 3], ["1", "2"], "12", 7, [1.5, 2]])
def test_decode_rejects_dimensions_other_than_a_width_and_a_height(dimensions: object) -> None:
    with pytest.raises(ValueError):
        records.decode(json.dumps(SOUND | {"dimensions": dimensions}).encode())


def test_record_without_failures_and_strikes_has_no_such_fields() -> None:
    """Processes of an earlier release can read it then."""
    assert SOUND.keys().isdisjoint({"failures", "strike_extent"})
