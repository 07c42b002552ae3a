"""What a response says besides its body: validators, lifetimes, `Vary`, `Cache-Status`, browsers' safety."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import lru_cache

from multidict import CIMultiDict

from service.pictures.selection import Selection
from service.pictures.trace import Trace
from service.protocol.cache_status import CacheStatus, server_timing
from service.protocol.conditionals import http_date
from service.web.security import Requester

_ALWAYS = {
    "Server": "contact-image",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
}
_VARY_WORDS = "Accept-Language, SO-Language, SO-Culture"


@dataclass(frozen=True, slots=True)
class CacheLifetime:
    """What caches are told of one kind of answer, in seconds: how long it is fresh, in shared caches too, and how long
    it may be used beyond that."""

    max_age: int
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    longest: int = field(init=False)
    """How long it may be used at all."""

    def __post_init__(self) -> None:
        fresh = max(self.max_age, self.s_maxage or 0)
        stale = max(self.stale_while_revalidate or 0, self.stale_if_error or 0)
        object.__setattr__(self, "longest", fresh + stale)


@dataclass(frozen=True, slots=True)
class ResponseLifetimes:
    """The `CacheLifetime` of each kind of answer, constant so that caches are told the truth about all alike."""

    picture: CacheLifetime
    stale: CacheLifetime
    placeholder: CacheLifetime
    missing: CacheLifetime


NO_STORE = "no-store"


def cache_control(lifetime: CacheLifetime, requester: Requester) -> str:
    """`Cache-Control` of an answer to *requester*.

    No shared cache may keep a private answer, and no cache may keep an answer beyond the end of the access.
    """
    left = lifetime.longest
    if requester.until is not None:
        left = min(left, max(0, requester.until - math.ceil(time.time())))
    return f"private, max-age={min(lifetime.max_age, left)}" if requester.private else _public(lifetime, left)


@lru_cache(4096)
def _public(lifetime: CacheLifetime, left: int) -> str:
    """With no window that ends later than in *left* seconds."""
    max_age, s_maxage = (None if each is None else min(each, left) for each in (lifetime.max_age, lifetime.s_maxage))
    beyond = left - max(max_age or 0, s_maxage or 0)
    stale = (lifetime.stale_while_revalidate, lifetime.stale_if_error)
    while_revalidated, if_error = (None if each is None else min(each, beyond) for each in stale)
    told = {
        "max-age": max_age,
        "s-maxage": s_maxage,
        "stale-while-revalidate": while_revalidated,
        "stale-if-error": if_error,
    }
    return ", ".join(("public", *(f"{name}={seconds}" for name, seconds in told.items() if seconds is not None)))


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
    selection: Selection,
    contact: int,
    lifetimes: ResponseLifetimes,
    requester: Requester,
    varies: str | None,
    *,
    stale: bool,
) -> CIMultiDict[str]:
    """The fields of a picture, the same on 200, 206, 304 and HEAD, but for what tells of the body."""
    headers = common(contact, varies)
    headers["ETag"] = selection.etag
    tell_lifetime(headers, selection, lifetimes, requester, stale=stale)
    if selection.last_modified is not None and selection.last_modified <= time.time():  # RFC 9110 section 8.8.2.1
        headers["Last-Modified"] = http_date(selection.last_modified)
    return headers


def tell_lifetime(
    headers: CIMultiDict[str], selection: Selection, lifetimes: ResponseLifetimes, requester: Requester, *, stale: bool
) -> None:
    """Say for how long the picture may be kept, from now on."""
    lifetime = lifetimes.stale if stale else lifetimes.picture
    headers["Cache-Control"] = cache_control(lifetimes.placeholder if selection.blank else lifetime, requester)


def stand_in(headers: CIMultiDict[str], older: str, lifetimes: ResponseLifetimes, requester: Requester) -> None:
    """Tell that an *older* rendition, by its ETag, is sent in place of the one that the other fields are about."""
    headers["ETag"] = older
    headers["Cache-Control"] = cache_control(lifetimes.stale, requester)
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
