"""Failures of renditions: strikes are counted by field, failures expire, and their number is bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats import Format
from service.pictures import records
from service.pictures.failures import STRIKES, add_strikes, refused, unexpired, without_strikes
from service.pictures.values import Failure, Original

SOUND = Original(1, "v", 10, 1_700_000_000, Format.JPEG, alpha=False)


def test_failure_at_once_counts_until_it_expires() -> None:
    failures = add_strikes((), "a", strikes=STRIKES, until=10.0, now=1.0)
    assert [each.field for each in refused(failures, 9.9)] == ["a"]
    assert refused(failures, 10.0) == []
    assert unexpired(failures, 10.0) == ()


def test_failure_counts_from_the_second_strike_on() -> None:
    failures = add_strikes((), "a", strikes=1, until=10.0, now=1.0)
    assert refused(failures, 2.0) == []
    failures = add_strikes(failures, "b", strikes=1, until=11.0, now=2.0)
    failures = add_strikes(failures, "a", strikes=1, until=12.0, now=3.0)
    assert refused(failures, 4.0) == [Failure("a", 12.0, 2)]


def test_expired_strike_does_not_count() -> None:
    failures = add_strikes((), "a", strikes=1, until=10.0, now=1.0)
    assert refused(add_strikes(failures, "a", strikes=1, until=30.0, now=20.0), 21.0) == []


@given(st.lists(st.integers(0, 99), max_size=120))
def test_number_of_failures_is_bounded_and_the_latest_is_kept(fields: list[int]) -> None:
    failures: tuple[Failure, ...] = ()
    for at, field in enumerate(fields):
        failures = add_strikes(failures, str(field), strikes=STRIKES, until=1_000.0, now=float(at))
        assert failures[-1].field == str(field)
        assert len({each.field for each in failures}) == len(failures) <= 64


def test_largest_record_is_small() -> None:
    failures: tuple[Failure, ...] = ()
    for at in range(200):
        field = f"{4000 + at % 96}:{3000 + at}:contain:AVIF:5b552d33"
        failures = add_strikes(failures, field, strikes=STRIKES, until=1_795_000_000.123456, now=1.0)
    original = Original(2**31 - 1, "v" * 64, 2**30, 1_795_000_000, Format.JPEG, alpha=False, failures=failures)
    assert len(records.encode(original)) < 8_192


@pytest.mark.parametrize(("extent", "strikes"), [(159, 1), (160, 0), (161, 0)])
def test_finished_render_removes_the_strikes_of_renditions_that_are_no_larger(extent: int, strikes: int) -> None:
    struck = replace(SOUND, strikes=1, strike_extent=160)
    assert without_strikes(struck, "a", extent).strikes == strikes


def test_finished_render_removes_the_failure_of_its_own_rendition_only() -> None:
    struck = replace(SOUND, failures=(Failure("a", 9.0, 1), Failure("b", 9.0, 1)))
    assert without_strikes(struck, "a", 1).failures == (Failure("b", 9.0, 1),)


def test_finished_render_of_a_sound_picture_changes_nothing() -> None:
    assert without_strikes(SOUND, "a", 4_000) is SOUND
