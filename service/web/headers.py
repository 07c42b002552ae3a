"""What a response says besides its body: validators, lifetimes, `Vary`, `Cache-Status`, browsers' safety."""

from __future__ import annotations

import time
from dataclasses import dataclass

from multidict import CIMultiDict

from service.pictures.selection import Selection
from service.pictures.trace import Trace
from service.protocol.cache_status import CacheStatus, server_timing
from service.protocol.conditionals import http_date

_ALWAYS = {
    "Server": "contact-image",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
}
_VARY_WORDS = "Accept-Language, SO-Language, SO-Culture"


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The `Cache-Control` of each kind of answer, constant so that caches are told the truth about all alike."""

    picture: str
    stale: str
    placeholder: str
    missing: str
    error: str = "no-store"


def vary(*, negotiated: bool, worded: bool) -> str | None:
    """What the answer depends on: `Accept` unless `type` settled it, the languages where it holds words."""
    names = [name for name, told in (("Accept", negotiated), (_VARY_WORDS, worded)) if told]
    return ", ".join(names) or None


def common(contact: int | None, varies: str | None) -> CIMultiDict[str]:
    """The fields of every answer about *contact*."""
    headers = CIMultiDict(_ALWAYS)
    if varies:
        headers["Vary"] = varies
    if contact is not None:
        headers["Surrogate-Key"] = headers["Cache-Tag"] = f"contact-{contact}"
    return headers


def picture_headers(
    selection: Selection, contact: int, cache_control: CacheControl, varies: str | None, *, stale: bool
) -> CIMultiDict[str]:
    """The fields of a picture, the same on 200, 206, 304 and HEAD, but for what tells of the body."""
    headers = common(contact, varies)
    headers["ETag"] = selection.etag
    if selection.blank is not None:
        headers["Cache-Control"] = cache_control.placeholder
    else:
        headers["Cache-Control"] = cache_control.stale if stale else cache_control.picture
    if selection.last_modified is not None and selection.last_modified <= time.time():  # RFC 9110 section 8.8.2.1
        headers["Last-Modified"] = http_date(selection.last_modified)
    return headers


def stand_in(headers: CIMultiDict[str], older: str, cache_control: CacheControl) -> None:
    """Tell that an *older* rendition, by its ETag, is sent in place of the one that the other fields are about."""
    headers["ETag"] = older
    headers["Cache-Control"] = cache_control.stale
    headers.pop("Last-Modified", None)


def describe_body(headers: CIMultiDict[str], selection: Selection, contact: int, language: str) -> None:
    """Add what tells of the body: its type, a name for who saves it, its language if it holds words, and whether it
    can be had in parts. A 304 tells none of it (RFC 9110 section 15.4.5)."""
    json, format_ = selection.choice.json, selection.choice.format
    suffix = "json" if json else format_.suffix
    headers["Content-Type"] = "application/json; charset=utf-8" if json else format_.media_type
    headers["Content-Disposition"] = f'inline; filename="contact-{contact}.{suffix}"'
    if selection.blank is not None and selection.blank.worded:
        headers["Content-Language"] = language
    if in_parts(selection):
        headers["Accept-Ranges"] = "bytes"


def in_parts(selection: Selection) -> bool:
    """Whether ranges of it are served: of stored bytes alone. A rendition may be made again, with the same ETag."""
    return selection.choice.as_stored and not selection.choice.json


def tell_trace(headers: CIMultiDict[str], trace: Trace, detail: str) -> None:
    """Add what the caches did, and what took how long."""
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
