"""Conditional requests, RFC 9110 §13. This module does not use the clock or pictures."""

from __future__ import annotations

import re
from email.utils import formatdate, mktime_tz, parsedate_tz
from functools import lru_cache
from time import asctime, gmtime

# etagc has no escapes, §8.8.3: a backslash is an ordinary character. Possessive quantifiers prevent backtracking.
_TAG = r'(?:W/)?"[!#-~\x80-\U0010ffff]*+"'
_TAGS = re.compile(rf"[ \t,]*+(?:{_TAG}[ \t]*+(?:,[ \t,]*+|\Z))++")
_OPAQUE = re.compile(r'"[^"]*"')
_PARTS = re.compile(r'(W/)?("[^"]*")')
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def not_modified(
    etag: str, last_modified: int | None, if_none_match: str | None, if_modified_since: str | None
) -> bool:
    """Return whether GET or HEAD is answered with 304.

    *etag* is the current entity tag with its quotes, and *last_modified* is in Unix seconds. The others are field
    values, or None for absent fields. A malformed field matches nothing. `If-Modified-Since` counts only without
    `If-None-Match`, §13.1.3, and only if it equals *last_modified*: a restored older picture must not give 304.
    """
    if if_none_match is not None:
        return _matches(if_none_match.strip(" \t"), etag)
    if last_modified is None or if_modified_since is None:
        return False
    return if_modified_since.strip(" \t") in _spellings(last_modified)


def preconditions_hold(
    etag: str | None,
    last_modified: int | None,
    if_match: str | None,
    if_none_match: str | None,
    if_unmodified_since: str | None,
) -> bool:
    """Return whether the conditions of a write hold, §13.2.2; the answer is 412 otherwise.

    *etag* is None when there is no picture. A malformed list of tags matches nothing. A malformed date is ignored,
    §13.1.4.
    """
    if if_match is not None:
        if not _matches_strongly(if_match.strip(" \t"), etag):
            return False
    elif if_unmodified_since is not None and last_modified is not None:
        limit = _seconds(if_unmodified_since)
        if limit is not None and last_modified > limit:
            return False
    return if_none_match is None or etag is None or not _matches(if_none_match.strip(" \t"), etag)


def if_range_holds(etag: str, last_modified: int | None, if_range: str | None, now: float) -> bool:
    """Return whether `If-Range` matches the current picture, §13.1.5, so that `Range` counts.

    *etag* is the current, strong entity tag with its quotes; a weak tag never matches. A date must equal
    *last_modified*, whose second must be over at *now* (Unix seconds). Otherwise two pictures may share it, §8.8.2.2.
    """
    if if_range is None:
        return True
    sent = if_range.strip(" \t")
    if sent.startswith(('"', "W/")):
        return sent == etag
    return last_modified is not None and last_modified + 1 <= now and sent in _spellings(last_modified)


@lru_cache(2048)
def http_date(seconds: int) -> str:
    """Return Unix *seconds* as an IMF-fixdate, §5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return formatdate(seconds, usegmt=True)


def _matches(tags: str, etag: str) -> bool:
    """Return whether *tags* has *etag* by weak comparison, §8.8.3.2, which ignores `W/`."""
    if tags == "*":
        return True
    return _TAGS.fullmatch(tags) is not None and etag.removeprefix("W/") in _OPAQUE.findall(tags)


def _matches_strongly(tags: str, etag: str | None) -> bool:
    """Return whether *tags* has the strong *etag* by strong comparison, §8.8.3.2."""
    if etag is None or tags == "*":
        return etag is not None
    return _TAGS.fullmatch(tags) is not None and etag in (tag for weak, tag in _PARTS.findall(tags) if not weak)


def _seconds(date: str) -> int | None:
    """Return an HTTP-date, in any of its three forms, in Unix seconds. Return None when malformed."""
    try:
        parts = parsedate_tz(date)
        return None if parts is None else mktime_tz(parts)
    except (ValueError, OverflowError):  # e.g. a month 13, or a year beyond the calendar
        return None


def _spellings(seconds: int) -> tuple[str, str, str]:
    """Return *seconds* in all three forms of HTTP-date, so that a date is compared without parsing it.

    The two-digit year of the second form is unambiguous: in another century the weekday differs.
    """
    fixdate = http_date(seconds)
    day, month, year, time = fixdate[5:7], fixdate[8:11], fixdate[14:16], fixdate[17:]
    moment = gmtime(seconds)
    return fixdate, f"{_WEEKDAYS[moment.tm_wday]}, {day}-{month}-{year} {time}", asctime(moment)
