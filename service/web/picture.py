"""The picture's resource: a request in, values through the use case, a response out."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web
from multidict import CIMultiDict

from service.errors import (
    N_,
    BadParameter,
    BeyondFormat,
    NoPicture,
    PictureError,
    RangeNotSatisfiable,
    StoreFailed,
    UnknownPath,
    Unrenderable,
    Unwritable,
)
from service.formats import Format, IfBlank
from service.pictures.contact_pictures import ContactPictures
from service.pictures.selection import Selection
from service.pictures.trace import Trace
from service.pictures.values import OriginalChanged, Picture
from service.protocol.conditionals import if_range_holds, not_modified
from service.protocol.languages import NO_PHOTO, Languages
from service.protocol.negotiate import RequestedPicture, requested_picture
from service.protocol.query import parse_contact_id, parse_query
from service.protocol.ranges import content_range, parse_range
from service.web.headers import (
    NO_STORE,
    ResponseLifetimes,
    cache_control,
    common,
    describe_body,
    in_parts,
    picture_headers,
    stand_in,
    tell_lifetime,
    tell_trace,
    vary,
)
from service.web.health import METRICS
from service.web.problems import problem, status_of
from service.web.repeats import Repeats, field
from service.web.security import AUTHENTICATOR, REFUSED_REQUESTER, REQUESTER, target
from service.web.streaming import send, sent_whole

_ATTEMPTS, _PAUSE = 8, 0.02
"""Times that a picture is selected when it changes under our hands, and seconds between them."""
_RETRY_AFTER = "1"
"""Seconds to wait before trying again after a 503: a queue that is full now is not in a second."""
_TEMPLATE = "/api/v1/Contact/{contactId}/Image"


@dataclass(frozen=True, slots=True)
class ResponsePolicy:
    """How we answer: lifetimes told to caches, preferences, limits. Sides in pixels, times in seconds."""

    lifetimes: ResponseLifetimes
    preference: tuple[Format, ...]
    max_dimension: int
    write_timeout: float


PICTURES = web.AppKey("pictures", ContactPictures)
REPEATS = web.AppKey("repeats", Repeats)
LANGUAGES = web.AppKey("languages", Languages)
RESPONSE_POLICY = web.AppKey("policy", ResponsePolicy)


async def picture(request: web.Request) -> web.StreamResponse:
    """GET and HEAD of a contact's picture."""
    policy, accept = request.app[RESPONSE_POLICY], field(request, "Accept")
    contact = parse_contact_id(request.match_info["contact"])
    query = parse_query(target(request).partition("?")[2], policy.max_dimension)
    asked = _Asked(contact, requested_picture(query, accept, policy.preference), accept)
    for attempt in range(_ATTEMPTS):
        try:
            return await _answer(request, asked, anew=attempt > 0)
        except OriginalChanged:
            await asyncio.sleep(attempt * _PAUSE)
    raise StoreFailed(N_("The stored picture changes faster than it can be read."))


async def nothing(request: web.Request) -> web.StreamResponse:
    """Any path that is no resource."""
    raise UnknownPath(
        N_("There is nothing at this path. A contact's picture is at %(template)s."), {"template": _TEMPLATE}
    )


def refuse(request: web.Request, error: PictureError, request_id: str) -> web.Response:
    """The answer to a request that failed with *error*."""
    policy, status = request.app[RESPONSE_POLICY], status_of(error)
    languages, language, culture = request.app[LANGUAGES], _language(request), _culture(request)
    contact, negotiated = _what_is_known(request, policy.max_dimension)
    headers = common(contact, vary(negotiated=negotiated, worded=True))
    headers["Content-Type"] = "application/problem+json"
    headers["Content-Language"] = language
    requester = request.get(REQUESTER, REFUSED_REQUESTER)
    missing = cache_control(policy.lifetimes.missing, requester)
    headers["Cache-Control"] = missing if isinstance(error, NoPicture) else NO_STORE
    if status == 503:
        headers["Retry-After"] = _RETRY_AFTER
    if status == 401:
        headers["WWW-Authenticate"] = request.app[AUTHENTICATOR].challenge
    if status == 429:
        headers["Retry-After"] = str(error.values["seconds"])
    if status == 405:
        headers["Allow"] = str(error.values["allowed"])
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = content_range(range(0), int(error.values["length"]))
    return web.Response(
        status=status, headers=headers, body=problem(error, languages, language, culture, request.path, request_id)
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request for a picture asks, and its `Accept` field as it came."""

    contact: int
    requested: RequestedPicture
    accept: str | None


@dataclass(slots=True)
class _Failed:
    """What has failed for one request: formats of the picture and of the placeholder, each with its error, and whether
    the picture cannot be rendered at all."""

    formats: dict[Format, PictureError]
    of_placeholder: dict[Format, PictureError]
    unrenderable: bool = False


class _Ready(NamedTuple):
    """An answer before it is sent; a 304 has nothing *loaded*."""

    headers: CIMultiDict[str]
    loaded: Picture | None
    status: int
    json: bool


async def _answer(request: web.Request, asked: _Asked, *, anew: bool) -> web.StreamResponse:
    ready = await _best(request, asked, anew=anew)
    if ready.loaded is None:
        return web.Response(status=ready.status, headers=ready.headers)
    timeout = request.app[RESPONSE_POLICY].write_timeout
    return await send(request, ready.headers, ready.loaded, status=ready.status, json=ready.json, timeout=timeout)


async def _best(request: web.Request, asked: _Asked, *, anew: bool) -> _Ready:
    """The best answer that can be made (see `pictures.contact_pictures`).

    Each turn but the last rules out one more format, or the picture itself, so the turns are few.
    """
    failed, trace = _Failed({}, {}), Trace()
    while True:
        selection, language = await _selected(request, asked, failed, trace, anew=anew)
        try:
            ready = await _prepared(request, asked, selection, language, failed, trace)
            break
        except (BeyondFormat, Unwritable) as error:
            formats = failed.formats if selection.blank is None else failed.of_placeholder
            formats[selection.choice.format] = error
        except Unrenderable:
            if asked.requested.if_blank is IfBlank.NULL or selection.blank is not None:
                raise
            failed.unrenderable = True
        trace.fwd, anew = "miss", False
    if failed.unrenderable:
        request.app[METRICS].stood_in()
    return ready


async def _selected(
    request: web.Request, asked: _Asked, failed: _Failed, trace: Trace, *, anew: bool
) -> tuple[Selection, str]:
    """The picture, or the placeholder that stands in for it; and the language of the placeholder's words."""
    pictures, requested = request.app[PICTURES], asked.requested
    if not failed.unrenderable:
        try:
            return await pictures.select(asked.contact, requested, trace, reload=anew, ruled_out=failed.formats), ""
        except (NoPicture, Unrenderable) as error:
            if requested.if_blank is IfBlank.NULL:
                raise
            failed.unrenderable = isinstance(error, Unrenderable)
    language = _language(request)
    words = request.app[LANGUAGES].words(NO_PHOTO, {}, language)
    return pictures.blank(requested, words, language, failed.of_placeholder), language


async def _prepared(
    request: web.Request, asked: _Asked, selection: Selection, language: str, failed: _Failed, trace: Trace
) -> _Ready:
    """The answer with *selection*. Raises what `ContactPictures.load` raises."""
    pictures, repeats, requester = request.app[PICTURES], request.app[REPEATS], request[REQUESTER]
    lifetimes, json = request.app[RESPONSE_POLICY].lifetimes, selection.choice.json
    worded = selection.blank is not None and selection.blank.worded
    varies = vary(negotiated=asked.requested.type is None, worded=worded)
    headers = picture_headers(selection, asked.contact, lifetimes, requester, varies, stale=_stale(trace))
    detail = "" if selection.blank is None else "unrenderable" if failed.unrenderable else "placeholder"
    if not_modified(
        selection.etag, selection.last_modified, field(request, "If-None-Match"), field(request, "If-Modified-Since")
    ):
        tell_trace(headers, trace, detail)
        return _Ready(headers, None, 304, json)
    part = _part(request, selection)
    if part is not None:
        loaded = await pictures.load_part(selection, part, trace)
    else:
        loaded = await pictures.load(selection, trace, body=request.method == "GET")
    if requester.until is not None:  # which is nearer now: a render takes seconds
        tell_lifetime(headers, selection, lifetimes, requester, stale=_stale(trace))
    unchanged = headers.copy()
    describe_body(headers, selection, asked.contact, language)
    status = 200
    if loaded.older is not None:
        stand_in(headers, loaded.older, lifetimes, requester)
    elif part is not None and selection.original is not None:
        status = 206
        headers["Content-Range"] = content_range(part, selection.original.size)
    elif not _stale(trace) and sent_whole(loaded) and _repeats(selection):
        repeats.keep(target(request), asked.accept, selection, headers, unchanged)
    if request.method == "GET":
        repeats.settle(target(request), asked.accept, missed=trace.fwd is not None)
    tell_trace(headers, trace, detail or loaded.detail)
    return _Ready(headers, loaded, status, json)


def _stale(trace: Trace) -> bool:
    return trace.ttl is not None and trace.ttl < 0


def _repeats(selection: Selection) -> bool:
    """Whether the bytes in the cache are the answer's body, and its headers the same for everybody."""
    return selection.blank is None and not selection.choice.json


def _part(request: web.Request, selection: Selection) -> range | None:
    """The positions that are asked for and served; None where the whole is the answer.

    `Range` is defined for GET alone, and comes after the other conditions (RFC 9110 sections 14.2 and 13.2.2). Raises
    `RangeNotSatisfiable`.
    """
    original = selection.original
    if request.method != "GET" or original is None or not in_parts(selection):
        return None
    span = parse_range(field(request, "Range"), original.size)
    if span is None or not if_range_holds(
        selection.etag, selection.last_modified, field(request, "If-Range"), time.time()
    ):
        return None
    if not span:
        raise RangeNotSatisfiable(
            N_("None of the picture's %(length)s bytes are in the range that was asked for."), {"length": original.size}
        )
    return span


def _language(request: web.Request) -> str:
    return request.app[LANGUAGES].choose(field(request, "SO-Language"), field(request, "Accept-Language"))


def _culture(request: web.Request) -> str | None:
    return request.app[LANGUAGES].culture(
        field(request, "SO-Culture"), field(request, "SO-Language"), field(request, "Accept-Language")
    )


def _what_is_known(request: web.Request, max_dimension: int) -> tuple[int | None, bool]:
    """Of a refused request, the contact and whether `Accept` mattered; what is malformed may have meant anything."""
    if "contact" not in request.match_info:
        return None, False
    contact, negotiated = None, True
    with suppress(BadParameter):
        contact = parse_contact_id(request.match_info["contact"])
    with suppress(BadParameter):
        negotiated = parse_query(target(request).partition("?")[2], max_dimension).type is None
    return contact, negotiated
