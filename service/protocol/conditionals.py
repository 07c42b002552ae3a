"""Conditional requests, RFC 9110 §13: whether the client's copy still holds. Knows no clock and no picture."""

from __future__ import annotations

import re
from email.utils import formatdate, mktime_tz, parsedate_tz
from functools import lru_cache
from time import asctime, gmtime

# etagc has no escapes, §8.8.3: a backslash is a character like any other. Possessive, so that no input backtracks.
_TAG = r'(?:W/)?"[!#-~\x80-\U0010ffff]*+"'
_TAGS = re.compile(rf"[ \t,]*+(?:{_TAG}[ \t]*+(?:,[ \t,]*+|\Z))++")
_OPAQUE = re.compile(r'"[^"]*"')
_PARTS = re.compile(r'(W/)?("[^"]*")')
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def not_modified(
    etag: str, last_modified: int | None, if_none_match: str | None, if_modified_since: str | None
) -> bool:
    """Whether GET or HEAD is answered with 304.

    *etag* is ours with its quotes, *last_modified* in Unix seconds, the others are field values, None where absent.
    A malformed field matches nothing. `If-Modified-Since` counts only without `If-None-Match`, §13.1.3, and only when
    it equals *last_modified*: an older picture that is put back must not be a 304.
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
    """Whether a write's conditions hold, §13.2.2; 412 where they do not. *etag* is None where there is no picture.

    A malformed list of tags matches nothing. A date that cannot be read is ignored, §13.1.4.
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
    """Whether a part of today's picture fits the parts that the client has, §13.1.5, so that `Range` counts.

    *etag*, ours with its quotes, is strong: it must be the very same, and a weak one never is. A date must be exactly
    *last_modified*, whose second must be over at *now* (Unix seconds): else two pictures may share it, §8.8.2.2.
    """
    if if_range is None:
        return True
    sent = if_range.strip(" \t")
    if sent.startswith(('"', "W/")):
        return sent == etag
    return last_modified is not None and last_modified + 1 <= now and sent in _spellings(last_modified)


@lru_cache(2048)
def http_date(seconds: int) -> str:
    """Unix *seconds* as an IMF-fixdate, §5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return formatdate(seconds, usegmt=True)


def _matches(tags: str, etag: str) -> bool:
    """Weak comparison, §8.8.3.2: a `W/` on either side is ignored."""
    if tags == "*":
        return True
    return _TAGS.fullmatch(tags) is not None and etag.removeprefix("W/") in _OPAQUE.findall(tags)


def _matches_strongly(tags: str, etag: str | None) -> bool:
    """Strong comparison, §8.8.3.2: a weak tag equals nothing. *etag* is strong."""
    if etag is None or tags == "*":
        return etag is not None
    return _TAGS.fullmatch(tags) is not None and etag in (tag for weak, tag in _PARTS.findall(tags) if not weak)


def _seconds(date: str) -> int | None:
    """An HTTP-date in any of its three forms, in Unix seconds."""
    try:
        parts = parsedate_tz(date)
        return None if parts is None else mktime_tz(parts)
    except (ValueError, OverflowError):  # a month 13, a year beyond what the calendar has
        return None


def _spellings(seconds: int) -> tuple[str, str, str]:
    """*seconds* in all three forms of HTTP-date, so that equality is told without reading the client's.

    The two-digit year of the second is no riddle: in another century its weekday would be another.
    """
    fixdate = http_date(seconds)
    day, month, year, time = fixdate[5:7], fixdate[8:11], fixdate[14:16], fixdate[17:]
    moment = gmtime(seconds)
    return fixdate, f"{_WEEKDAYS[moment.tm_wday]}, {day}-{month}-{year} {time}", asctime(moment)
