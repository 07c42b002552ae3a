"""Conditional requests, RFC 9110 §13 (docs/contract.md, section 6)."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.conditionals import http_date, not_modified, preconditions_hold

ETAG = '"abc"'
WRITTEN = 784111777  # the moment of RFC 9110 §5.6.7


@pytest.mark.parametrize(
    "tags",
    [
        '"abc"',
        'W/"abc"',
        ' "abc" ',
        "*",
        '"x", "abc"',
        '"x","abc","y"',
        'W/"x" , W/"abc"',
        ',, "abc" ,',
        '"a,b", "abc"',
        '"\\", "abc"',
    ],
)
def test_tag_that_is_listed_matches_weakly(tags: str) -> None:
    assert not_modified(ETAG, None, tags, None)


@pytest.mark.parametrize(
    "tags",
    [
        "",
        '"x"',
        '"ABC"',
        "abc",
        '"abc',
        "'abc'",
        'w/"abc"',
        '"abc"-gzip',
        '"x" "abc"',
        '*, "abc"',
        '"x, "abc""',
        'W/ "abc"',
        '"abc", x',
    ],
)
def test_other_tags_and_malformed_fields_match_nothing(tags: str) -> None:
    assert not not_modified(ETAG, WRITTEN, tags, http_date(WRITTEN))


def test_comma_in_a_tag_is_no_separator() -> None:
    assert not_modified('"a,b"', None, '"x", "a,b"', None)
    assert not not_modified('"b"', None, '"a,"b","', None)


@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT\t",
    ],
)
def test_equal_date_matches_in_all_three_forms(date: str) -> None:
    assert not_modified(ETAG, WRITTEN, None, date)
    assert not not_modified(ETAG, WRITTEN + 1, None, date)
    assert not not_modified(ETAG, WRITTEN - 1, None, date)


@pytest.mark.parametrize(
    "date",
    [
        "",
        "0",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "784111777",
    ],
)
def test_malformed_date_matches_nothing(date: str) -> None:
    assert not not_modified(ETAG, WRITTEN, None, date)


def test_two_digit_year_does_not_match_another_century() -> None:
    assert not_modified(ETAG, 0, None, "Thursday, 01-Jan-70 00:00:00 GMT")
    assert not not_modified(ETAG, 0, None, "Wednesday, 01-Jan-70 00:00:00 GMT")  # 2070


def test_dates_count_only_without_tags_and_with_a_last_modified() -> None:
    assert not not_modified(ETAG, WRITTEN, '"x"', http_date(WRITTEN))
    assert not not_modified(ETAG, None, None, http_date(WRITTEN))
    assert not not_modified(ETAG, WRITTEN, None, None)


def test_dates_are_written_as_imf_fixdate() -> None:
    assert http_date(WRITTEN) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"


@given(st.integers(0, 2**33), st.text(alphabet='"W/*, abc\\', max_size=12))
def test_sent_validators_match_and_no_field_raises(seconds: int, text: str) -> None:
    assert not_modified(ETAG, seconds, None, http_date(seconds))
    assert not_modified(ETAG, seconds, ETAG, text)
    assert isinstance(not_modified(ETAG, seconds, text, text), bool)


@pytest.mark.parametrize("unit", ['"', "W/", ",", " ", '"a"', '"a" ,', '"a",\t', 'W/"'])
def test_huge_list_is_parsed_in_linear_time(unit: str) -> None:
    started = process_time()
    assert not not_modified('"z"', None, unit * 50_000 + "!", None)
    assert process_time() - started < 2


TAG, DATE = ETAG, WRITTEN
ON_TIME, TOO_EARLY = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT"


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "if_unmodified_since", "allowed", "allowed_without_a_picture"),
    [
        (None, None, None, True, True),
        ("*", None, None, True, False),
        ('"abc"', None, None, True, False),
        ('"x", "abc"', None, None, True, False),
        ('"x"', None, None, False, False),
        ('W/"abc"', None, None, False, False),
        ('W/"abc", "abc"', None, None, True, False),
        ("abc", None, None, False, False),
        ("", None, None, False, False),
        (None, "*", None, False, True),
        (None, '"abc"', None, False, True),
        (None, 'W/"abc"', None, False, True),
        (None, '"x"', None, True, True),
        (None, None, ON_TIME, True, True),
        (None, None, TOO_EARLY, False, True),
        (None, None, "Sunday, 06-Nov-94 08:49:36 GMT", False, True),
        (None, None, "Sun Nov  6 08:49:36 1994", False, True),
        (None, None, "Sun, 06 Nov 2094 08:49:37 GMT", True, True),
        (None, None, "yesterday", True, True),
        (None, None, "Sun, 06 Nov 99999999999999999999 08:49:37 GMT", True, True),
        ('"abc"', None, TOO_EARLY, True, False),
        ('"abc"', "*", None, False, False),
    ],
)
def test_preconditions_of_writes_follow_rfc_9110(
    if_match: str | None,
    if_none_match: str | None,
    if_unmodified_since: str | None,
    allowed: bool,
    allowed_without_a_picture: bool,
) -> None:
    assert preconditions_hold(TAG, DATE, if_match, if_none_match, if_unmodified_since) is allowed
    assert preconditions_hold(None, None, if_match, if_none_match, if_unmodified_since) is allowed_without_a_picture


@given(*3 * [st.none() | st.text()])
def test_no_precondition_raises(one: str | None, two: str | None, three: str | None) -> None:
    assert preconditions_hold(TAG, DATE, one, two, three) in (True, False)
