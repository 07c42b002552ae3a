"""The picture's resource: a request in, values through the use case, a response out."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from service.errors import (
    N_,
    BadParameter,
    NoPicture,
    PictureError,
    RangeNotSatisfiable,
    StoreFailed,
    UnknownPath,
)
from service.formats import Format, IfBlank
from service.pictures.contact_pictures import ContactPictures
from service.pictures.selection import Selection
from service.pictures.trace import Trace
from service.pictures.values import OriginalChanged
from service.protocol.conditionals import not_modified, still_whole
from service.protocol.languages import NO_PHOTO, Languages
from service.protocol.negotiate import Wish, make_wish
from service.protocol.query import parse_contact_id, parse_query
from service.protocol.ranges import content_range, one_range
from service.web.headers import (
    NO_STORE,
    Lifetimes,
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
from service.web.problems import problem, status_of
from service.web.repeats import Repeats, field
from service.web.security import GATE, NOBODY, VISITOR, target
from service.web.streaming import send, sent_whole

_ATTEMPTS, _PAUSE = 8, 0.02
"""Times that a picture is selected when it changes under our hands, and seconds between them."""
_RETRY_AFTER = "1"
"""Seconds to wait before trying again after a 503: a queue that is full now is not in a second."""
_TEMPLATE = "/api/v1/Contact/{contactId}/Image"


@dataclass(frozen=True, slots=True)
class Manners:
    """How we answer: lifetimes told to caches, preferences, limits. Sides in pixels, times in seconds."""

    lifetimes: Lifetimes
    preference: tuple[Format, ...]
    max_dimension: int
    write_timeout: float


PICTURES = web.AppKey("pictures", ContactPictures)
REPEATS = web.AppKey("repeats", Repeats)
LANGUAGES = web.AppKey("languages", Languages)
MANNERS = web.AppKey("manners", Manners)


async def picture(request: web.Request) -> web.StreamResponse:
    """GET and HEAD of a contact's picture."""
    manners, accept = request.app[MANNERS], field(request, "Accept")
    contact = parse_contact_id(request.match_info["contact"])
    query = parse_query(target(request).partition("?")[2], manners.max_dimension)
    wish = make_wish(query, accept, manners.preference)
    for attempt in range(_ATTEMPTS):
        try:
            return await _answer(request, contact, wish, accept, anew=attempt > 0)
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
    manners, status = request.app[MANNERS], status_of(error)
    languages, language, culture = request.app[LANGUAGES], _language(request), _culture(request)
    contact, negotiated = _what_is_known(request, manners.max_dimension)
    headers = common(contact, vary(negotiated=negotiated, worded=True))
    headers["Content-Type"] = "application/problem+json"
    headers["Content-Language"] = language
    visitor = request.get(VISITOR, NOBODY)
    missing = cache_control(manners.lifetimes.missing, visitor)
    headers["Cache-Control"] = missing if isinstance(error, NoPicture) else NO_STORE
    if status == 503:
        headers["Retry-After"] = _RETRY_AFTER
    if status == 401:
        headers["WWW-Authenticate"] = request.app[GATE].challenge
    if status == 429:
        headers["Retry-After"] = str(error.values["seconds"])
    if status == 405:
        headers["Allow"] = str(error.values["allowed"])
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = content_range(range(0), int(error.values["length"]))
    return web.Response(
        status=status, headers=headers, body=problem(error, languages, language, culture, request.path, request_id)
    )


async def _answer(
    request: web.Request, contact: int, wish: Wish, accept: str | None, *, anew: bool
) -> web.StreamResponse:
    manners, pictures, trace = request.app[MANNERS], request.app[PICTURES], Trace()
    lifetimes, visitor, language = manners.lifetimes, request[VISITOR], ""
    try:
        selection = await pictures.select(contact, wish, trace, anew=anew)
    except NoPicture:
        if wish.if_blank is IfBlank.NULL:
            raise
        language = _language(request)
        selection = pictures.blank(wish, request.app[LANGUAGES].words(NO_PHOTO, {}, language), language)
    worded = selection.blank is not None and selection.blank.worded
    varies = vary(negotiated=wish.type is None, worded=worded)
    headers = picture_headers(selection, contact, lifetimes, visitor, varies, stale=_stale(trace))
    detail = "placeholder" if selection.blank is not None else ""
    if not_modified(
        selection.etag, selection.last_modified, field(request, "If-None-Match"), field(request, "If-Modified-Since")
    ):
        tell_trace(headers, trace, detail)
        return web.Response(status=304, headers=headers)
    part = _part(request, selection)
    if part is not None:
        loaded = await pictures.load_part(selection, part, trace)
    else:
        loaded = await pictures.load(selection, trace, body=request.method == "GET")
    if visitor.until is not None:  # which is nearer now: a render takes seconds
        tell_lifetime(headers, selection, lifetimes, visitor, stale=_stale(trace))
    unchanged = headers.copy()
    describe_body(headers, selection, contact, language)
    status = 200
    if loaded.older is not None:
        stand_in(headers, loaded.older, lifetimes, visitor)
    elif part is not None and selection.original is not None:
        status = 206
        headers["Content-Range"] = content_range(part, selection.original.size)
    elif not _stale(trace) and sent_whole(loaded) and _repeats(selection):
        request.app[REPEATS].keep(target(request), accept, selection, headers, unchanged)
    if request.method == "GET":
        request.app[REPEATS].settle(target(request), accept, missed=trace.fwd is not None)
    tell_trace(headers, trace, detail or loaded.detail)
    return await send(
        request, headers, loaded, status=status, json=selection.choice.json, timeout=manners.write_timeout
    )


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
    span = one_range(field(request, "Range"), original.size)
    if span is None or not still_whole(
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
