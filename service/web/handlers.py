"""The picture's resource: a request in, values through the use case, a response out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from service.errors import N_, BadParameter, MethodNotAllowed, NoPicture, PictureError, StoreFailed, UnknownPath
from service.formats import Format, IfBlank
from service.pictures.contact_pictures import ContactPictures
from service.pictures.trace import Trace
from service.pictures.values import OriginalChanged
from service.protocol.conditionals import not_modified
from service.protocol.languages import NO_PHOTO, Languages
from service.protocol.negotiate import Wish, make_wish
from service.protocol.query import parse_contact_id, parse_query
from service.web.headers import ALLOW, CacheControl, common, describe_body, picture_headers, tell_trace, vary
from service.web.problems import problem, status_of
from service.web.repeats import Repeat, Repeats
from service.web.streaming import send, sent_whole

_MAX_FIELD = 16_384
"""Characters of one header field, its lines together."""
_ATTEMPTS = 3
"""Times that a picture is selected when it changes under our hands."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How we answer: lifetimes told to caches, preferences, limits. Sides in pixels, times in seconds."""

    cache_control: CacheControl
    preference: tuple[Format, ...]
    max_dimension: int
    write_timeout: float
    retry_after: int


PICTURES = web.AppKey("pictures", ContactPictures)
REPEATS = web.AppKey("repeats", Repeats)
LANGUAGES = web.AppKey("languages", Languages)
MANNERS = web.AppKey("manners", Manners)


async def picture(request: web.Request) -> web.StreamResponse:
    """GET, HEAD and OPTIONS of a contact's picture."""
    if request.method == "OPTIONS":
        headers = common(None, None)
        headers["Allow"] = ALLOW
        return web.Response(status=204, headers=headers)
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(N_("This resource answers %(allowed)s only."), {"allowed": ALLOW})
    manners, accept = request.app[MANNERS], field(request, "Accept")
    if request.method == "GET":
        repeated = request.app[REPEATS].answer(
            request.raw_path, accept, field(request, "If-None-Match"), field(request, "If-Modified-Since")
        )
        if repeated is not None:
            return repeated
    contact = parse_contact_id(request.match_info["contact"])
    query = parse_query(request.raw_path.partition("?")[2], manners.max_dimension)
    wish = make_wish(query, accept, manners.preference)
    for attempt in range(_ATTEMPTS):
        try:
            return await _answer(request, contact, wish, accept, anew=attempt > 0)
        except OriginalChanged:
            continue
    raise StoreFailed(N_("The stored picture changes faster than it can be read."))


async def nothing(request: web.Request) -> web.StreamResponse:
    """Any path that is no resource."""
    raise UnknownPath(N_("There is nothing at this path."))


def refuse(request: web.Request, error: PictureError, request_id: str) -> web.Response:
    """The answer to a request that failed with *error*."""
    manners, status = request.app[MANNERS], status_of(error)
    languages, language = request.app[LANGUAGES], _language(request)
    contact, negotiated = _what_is_known(request, manners.max_dimension)
    headers = common(contact, vary(negotiated=negotiated, worded=True))
    headers["Content-Type"] = "application/problem+json"
    headers["Content-Language"] = language
    lifetimes = manners.cache_control
    headers["Cache-Control"] = lifetimes.missing if isinstance(error, NoPicture) else lifetimes.error
    if status == 503:
        headers["Retry-After"] = str(manners.retry_after)
    if status == 405:
        headers["Allow"] = str(error.values["allowed"])
    return web.Response(
        status=status, headers=headers, body=problem(error, languages, language, request.path, request_id)
    )


def field(request: web.Request, name: str) -> str | None:
    """A header field's value; several lines are one list (RFC 9110 section 5.3). None where absent or far too long."""
    values = request.headers.getall(name, None)
    text = None if values is None else ", ".join(values)
    return text if text is None or len(text) <= _MAX_FIELD else None


async def _answer(
    request: web.Request, contact: int, wish: Wish, accept: str | None, *, anew: bool
) -> web.StreamResponse:
    manners, pictures, trace = request.app[MANNERS], request.app[PICTURES], Trace()
    language = ""
    try:
        selection = await pictures.select(contact, wish, trace, anew=anew)
    except NoPicture:
        if wish.if_blank is IfBlank.NULL:
            raise
        language = _language(request)
        selection = pictures.blank(wish, request.app[LANGUAGES].words(NO_PHOTO, {}, language), language)
    worded = selection.blank is not None and selection.blank.worded
    varies = vary(negotiated=wish.type is None, worded=worded)
    headers = picture_headers(selection, contact, manners.cache_control, varies, language)
    detail = "placeholder" if selection.blank is not None else ""
    if not_modified(
        selection.etag, selection.last_modified, field(request, "If-None-Match"), field(request, "If-Modified-Since")
    ):
        tell_trace(headers, trace, detail)
        return web.Response(status=304, headers=headers)
    loaded = await pictures.load(selection, trace, body=request.method == "GET")
    unchanged = headers.copy()
    describe_body(headers, selection, contact)
    if trace.fwd is None and sent_whole(loaded) and not selection.choice.json and selection.blank is None:
        request.app[REPEATS].keep(request.raw_path, accept, Repeat(selection, headers.copy(), unchanged))
    tell_trace(headers, trace, detail or loaded.detail)
    return await send(request, headers, loaded, json=selection.choice.json, timeout=manners.write_timeout)


def _language(request: web.Request) -> str:
    return request.app[LANGUAGES].choose(field(request, "SO-Language"), field(request, "Accept-Language"))


def _what_is_known(request: web.Request, max_dimension: int) -> tuple[int | None, bool]:
    """Of a refused request, the contact and whether `Accept` mattered; what is malformed may have meant anything."""
    if "contact" not in request.match_info:
        return None, False
    contact, negotiated = None, True
    with suppress(BadParameter):
        contact = parse_contact_id(request.match_info["contact"])
    with suppress(BadParameter):
        negotiated = parse_query(request.raw_path.partition("?")[2], max_dimension).type is None
    return contact, negotiated
