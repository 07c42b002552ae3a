"""The header fields of answers: validators, `Vary`, `Cache-Status`, a description of the body, and browsers' safety.

Fields that depend on the requester or the page that sends the request are in `web.sharing`.
"""

from __future__ import annotations

import time

from multidict import CIMultiDict

from service.pictures.selection import Selection
from service.pictures.trace import Trace
from service.protocol.cache_status import CacheStatus, server_timing
from service.protocol.conditionals import http_date
from service.web.policy import NO_STORE, CacheLifetime, ResponseLifetimes, cache_control
from service.web.requester import Requester

_ALWAYS = {
    "Server": "contact-image",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
}
"""The constant fields of every answer."""
_VARY_WORDS = "Accept-Language, SO-Language, SO-Culture"


def common(contact: int | None, varies: str | None) -> CIMultiDict[str]:
    """Return the fields of every answer; *contact* is the one that it is about, *varies* the value of `Vary`."""
    headers = CIMultiDict(_ALWAYS)
    if varies:
        headers["Vary"] = varies
    if contact is not None:
        headers["Surrogate-Key"] = headers["Cache-Tag"] = f"contact-{contact}"
    return headers


def uncached(contact: int | None = None) -> CIMultiDict[str]:
    """Return the fields of an answer that no cache may keep."""
    headers = common(contact, None)
    headers["Cache-Control"] = NO_STORE
    return headers


def vary(*, negotiated: bool, worded: bool) -> str | None:
    """Return the value of `Vary`: `Accept` if it chose the format, and the language fields if the answer has words."""
    names = [name for name, counts in (("Accept", negotiated), (_VARY_WORDS, worded)) if counts]
    return ", ".join(names) or None


def picture_headers(
    selection: Selection, contact: int, lifetime: CacheLifetime, requester: Requester, varies: str | None
) -> CIMultiDict[str]:
    """Return the fields that 200, 206 and 304 of a picture have in common. The body's are in `describe_body`."""
    headers = common(None, varies)
    headers.update(own_headers(selection, contact))
    headers["Cache-Control"] = cache_control(lifetime, requester)
    return headers


def own_headers(selection: Selection, contact: int) -> dict[str, str]:
    """Return the fields of a picture that have other values for each: its validators and the names of its contact."""
    tag = f"contact-{contact}"
    own = {"Surrogate-Key": tag, "Cache-Tag": tag, "ETag": selection.etag}
    if selection.last_modified is not None and selection.last_modified <= time.time():  # RFC 9110 section 8.8.2.1
        own["Last-Modified"] = http_date(selection.last_modified)
    return own


def describe_older(headers: CIMultiDict[str], etag: str, lifetimes: ResponseLifetimes, requester: Requester) -> None:
    """Change *headers* of the selected rendition to those of the older one with *etag*, which is sent instead."""
    headers["ETag"] = etag
    headers["Cache-Control"] = cache_control(lifetimes.stale, requester)
    headers.pop("Last-Modified", None)


def describe_body(headers: CIMultiDict[str], selection: Selection, contact: int, language: str) -> None:
    """Add the body's type, file name, *language* if it has words, and whether ranges of it are served.

    A 304 has none of these fields (RFC 9110 section 15.4.5).
    """
    json, format_ = selection.choice.json, selection.choice.format
    suffix = "json" if json else format_.suffix
    headers["Content-Type"] = "application/json; charset=utf-8" if json else format_.media_type
    headers["Content-Disposition"] = disposition(contact, suffix)
    if selection.worded:
        headers["Content-Language"] = language
    if serves_ranges(selection):
        headers["Accept-Ranges"] = "bytes"


def disposition(contact: int, suffix: str) -> str:
    """Return the value of `Content-Disposition`, which names the file."""
    return f'inline; filename="contact-{contact}.{suffix}"'


def serves_ranges(selection: Selection) -> bool:
    """Return whether ranges of the body are served. They are served of stored bytes only.

    Two renders of one rendition have the same ETag, though not always the same bytes.
    """
    return selection.choice.as_stored and not selection.choice.json


def add_trace(headers: CIMultiDict[str], trace: Trace, detail: str) -> None:
    """Add `Cache-Status` (RFC 9211) with *detail*, and `Server-Timing`."""
    hit = trace.fwd is None
    headers["Cache-Status"] = str(
        CacheStatus(
            hit=hit,
            ttl=trace.ttl if hit else None,
            fwd=trace.fwd,
            collapsed=trace.collapsed,
            stored=trace.stored,
            detail=detail or None,
        )
    )
    if trace.seconds:
        headers["Server-Timing"] = server_timing(trace.seconds)
