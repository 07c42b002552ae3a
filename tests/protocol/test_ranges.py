"""`Range` and `If-Range`, RFC 9110 §14 and §13.1.5 (docs/contract.md, section 6)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.conditionals import if_range_holds
from service.protocol.ranges import content_range, parse_range

HUGE = 10**30
TAG = '"abc"'
DATE = 784_111_777
"""Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 section 5.6.7."""


@pytest.mark.parametrize(
    ("field", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=99-99", 99, 99),
        ("bytes=10-19", 10, 19),
        ("bytes=0-", 0, 99),
        ("bytes=99-", 99, 99),
        ("bytes=-1", 99, 99),
        ("bytes=-100", 0, 99),
        ("bytes=-101", 0, 99),
        (f"bytes=-{HUGE}", 0, 99),
        ("bytes=50-100", 50, 99),
        (f"bytes=50-{HUGE}", 50, 99),
        ("bytes=50-" + "9" * 10_000, 50, 99),
        ("bytes=" + "0" * 10_000 + "7-9", 7, 9),
        ("BYTES=0-0", 0, 0),
        ("bytes=,0-0,", 0, 0),
        ("bytes=0-0 \t", 0, 0),
    ],
)
def test_one_range_gives_its_positions(field: str, first: int, last: int) -> None:
    span = parse_range(field, 100)
    assert span == range(first, last + 1)
    assert content_range(span, 100) == f"bytes {first}-{last}/100"


@pytest.mark.parametrize("field", ["bytes=100-", "bytes=100-200", f"bytes={HUGE}-", f"bytes={HUGE}-{HUGE}", "bytes=-0"])
def test_range_past_the_end_has_no_positions(field: str) -> None:
    span = parse_range(field, 100)
    assert span is not None
    assert not span
    assert content_range(span, 100) == "bytes */100"


@pytest.mark.parametrize(
    "field",
    [
        None, "", "bytes", "bytes=", "bytes=-", "bytes=--1", "bytes=a-b", "bytes=1", "bytes=2-1", f"bytes={HUGE}-1",
        "bytes=0 - 1", "bytes=0-1-2", "bytes=+0-1", "bytes=0x0-1", "bytes=0-1;2-3", "bytes=\u0661-\u0662",
        "bytes=0-0,2-2", "bytes=0-0, -1", "bytes=200-,300-", "rows=0-1", "=0-1", "byte s=0-1", "bytes:0-1", "0-1",
    ],
)  # fmt: skip
def test_any_other_field_gives_the_whole(field: str | None) -> None:
    assert parse_range(field, 100) is None


@given(st.text() | st.from_regex(re.compile(r"bytes=[ ,0-9-]*", re.ASCII), fullmatch=True), st.integers(1, 10**12))
def test_positions_are_always_within_the_length(field: str, length: int) -> None:
    span = parse_range(field, length)
    assert span is None or (0 <= span.start <= span.stop <= length and span.step == 1)


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 1000))
def test_positions_equal_those_of_a_slice(first: int, last: int, length: int) -> None:
    data = bytes(at % 251 for at in range(length))
    span = parse_range(f"bytes={first}-{last}", length)
    if last < first:
        assert span is None
    else:
        assert span is not None
        assert data[span.start : span.stop] == data[first : last + 1]
    tail = parse_range(f"bytes=-{last}", length)
    assert tail is not None
    assert data[tail.start : tail.stop] == (data[-last:] if last else b"")


@pytest.mark.parametrize(
    "if_range",
    [
        None, TAG, f" {TAG}\t",
        "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    ],
)  # fmt: skip
def test_if_range_matches_the_same_picture(if_range: str | None) -> None:
    assert if_range_holds(TAG, DATE, if_range, now=DATE + 60)


@pytest.mark.parametrize(
    "if_range",
    [
        "", "*", '"other"', f"W/{TAG}", f'{TAG}, "other"', "abc", "Sun, 06 Nov 1994 08:49:38 GMT",
        "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37", "784111777", TAG.upper(),
    ],
)  # fmt: skip
def test_if_range_does_not_match_another_picture(if_range: str) -> None:
    assert not if_range_holds(TAG, DATE, if_range, now=DATE + 60)


def test_if_range_does_not_match_a_date_whose_second_is_not_over() -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert not if_range_holds(TAG, DATE, date, now=DATE + 0.9)
    assert if_range_holds(TAG, DATE, date, now=DATE + 1)
    assert not if_range_holds(TAG, None, date, now=DATE + 60)
