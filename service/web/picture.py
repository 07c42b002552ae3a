"""GET and HEAD of a contact's picture."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from service.errors import (
    N_,
    BeyondFormat,
    NoPicture,
    PictureError,
    RangeNotSatisfiable,
    Unrenderable,
    Unwritable,
)
from service.formats import Format, IfBlank, Initials
from service.pictures.selection import Selection
from service.pictures.trace import Trace
from service.pictures.values import Picture
from service.protocol.conditionals import if_range_holds, not_modified
from service.protocol.languages import NO_PHOTO
from service.protocol.names import initials_of, name_of
from service.protocol.negotiate import RequestedPicture, requested_picture
from service.protocol.ranges import content_range, parse_range
from service.web import request_values
from service.web.access_log import ANSWER, Answer
from service.web.changing import retry_while_changing
from service.web.connections import Connection
from service.web.direct import FINDINGS, Findings
from service.web.headers import add_trace, describe_body, describe_older, picture_headers, serves_ranges, vary
from service.web.keys import BODIES, LANGUAGES, METRICS, NEW_TRACE, PICTURES, REPEATS, RESPONSE_POLICY, TRUSTED_PROXIES
from service.web.request_values import CONDITIONS, contact_id
from service.web.requester import REQUESTER, target
from service.web.waiting_client import WaitingClient

_UNRENDERABLE = "unrenderable"
"""The detail in `Cache-Status` of a placeholder for a picture that cannot be rendered."""


@dataclass(frozen=True, slots=True)
class _PictureRequest:
    """A request for a picture, parsed. *target* is as in `target`, *accept* is the field `Accept`."""

    request: web.Request
    target: str
    accept: str | None
    contact: int
    requested: RequestedPicture
    initials: Initials | None
    version: str


@dataclass(slots=True)
class _Failures:
    """The formats of the picture and of the placeholder that have failed for one request, each with its error."""

    of_picture: dict[Format, PictureError] = field(default_factory=dict)
    of_placeholder: dict[Format, PictureError] = field(default_factory=dict)
    unrenderable: bool = False
    """Whether the picture cannot be rendered in any format."""


class _Chosen(NamedTuple):
    """The picture, or a placeholder with words in *language*. *detail* is for `Cache-Status`."""

    selection: Selection
    language: str = ""
    detail: str = ""


class _Loaded(NamedTuple):
    """What was *chosen*, and its bytes, or those of one *part*. Without *picture* the client's copy is valid."""

    chosen: _Chosen
    picture: Picture | None = None
    part: range | None = None


async def picture(request: web.Request) -> web.StreamResponse:
    """Answer GET and HEAD of a contact's picture."""
    policy, whole, accept = request.app[RESPONSE_POLICY], target(request), request_values.field(request, "Accept")
    contact, name = contact_id(request), name_of(request.raw_path.partition("?")[2])
    query = policy.parse(whole.partition("?")[2])
    requested = requested_picture(query, accept, policy.preference)
    initials = initials_of(name) if query.if_blank is IfBlank.INITIALS else None
    wanted = _PictureRequest(request, whole, accept, contact, requested, initials, query.version)
    return await retry_while_changing(lambda reread: _answer(wanted, reread=reread))


async def _answer(wanted: _PictureRequest, *, reread: bool) -> web.StreamResponse:
    """Select, compare validators, load, make the header, send."""
    request, contact, connection = wanted.request, wanted.contact, wanted.request.protocol
    assert isinstance(connection, Connection)
    findings = None if reread else request.get(FINDINGS)
    trace = request.app[NEW_TRACE]() if findings is None else findings.trace
    trace.client = WaitingClient(request, connection, request.app[TRUSTED_PROXIES])
    with connection.cancelled_if_lost():
        (selection, language, detail), loaded, part = await _load_first_possible(wanted, findings, trace, reread=reread)
    if detail == _UNRENDERABLE:
        request.app[METRICS].unrenderable_placeholder()

    request[ANSWER] = Answer(selection.owner, selection.field, trace.source, trace.fwd is None)
    app = request.app
    policy, repeats, requester = app[RESPONSE_POLICY], app[REPEATS], request[REQUESTER]
    lifetimes, stale = policy.lifetimes, trace.ttl is not None and trace.ttl < 0
    varies = vary(negotiated=wanted.requested.type is None, worded=selection.worded)
    fresh = lifetimes.of(selection, wanted.version)
    shown = lifetimes.stale if stale and selection.placeholder is None else fresh
    unchanged = picture_headers(selection, contact, shown, requester, varies)
    if loaded is None:
        add_trace(unchanged, trace, detail)
        return web.Response(status=304, headers=unchanged)

    status, headers = 200, unchanged.copy()
    describe_body(headers, selection, contact, language)
    if loaded.older is not None:
        describe_older(headers, loaded.older, lifetimes, requester)
    elif part is not None and selection.original is not None:
        status = 206
        headers["Content-Range"] = content_range(part, selection.original.size)
    elif not stale and isinstance(loaded.body, bytes) and _is_repeatable(selection):
        negotiated = wanted.requested.type is None
        repeats.keep(wanted.target, wanted.accept, selection, loaded.length, fresh, negotiated=negotiated)
    if request.method == "GET":
        repeats.settle(wanted.target, wanted.accept, missed=trace.fwd is not None)
    add_trace(headers, trace, detail or loaded.detail)
    return await app[BODIES].send(request, headers, loaded, status=status, json=selection.choice.json)


async def _load_first_possible(
    wanted: _PictureRequest, findings: Findings | None, trace: Trace, *, reread: bool
) -> _Loaded:
    """Select and load the picture, unless the client's copy is valid, or *findings* has it.

    After an error that another format or a placeholder avoids, that is selected. Each turn but the last rules out one
    format, or the picture, so there are few.
    """
    failures = _Failures()
    while True:
        chosen = await _select(wanted, findings, failures, trace, reread=reread)
        selection = chosen.selection
        if _is_valid_at_client(wanted.request, selection):
            return _Loaded(chosen)
        try:
            part = _requested_part(wanted.request, selection)
            if findings is not None:
                findings.raise_error()
                if findings.picture is not None:
                    return _Loaded(chosen, findings.picture)
            return _Loaded(chosen, await _load(wanted.request, selection, part, trace), part)
        except (BeyondFormat, Unwritable) as error:
            formats = failures.of_picture if selection.placeholder is None else failures.of_placeholder
            formats[selection.choice.format] = error
        except Unrenderable:
            if wanted.requested.if_blank is IfBlank.NULL or selection.placeholder is not None:
                raise
            failures.unrenderable = True
        trace.fwd, reread, findings = "miss", False, None


async def _select(
    wanted: _PictureRequest, findings: Findings | None, failures: _Failures, trace: Trace, *, reread: bool
) -> _Chosen:
    """Select the picture, or the placeholder if the request asks for one in place of it."""
    pictures, requested = wanted.request.app[PICTURES], wanted.requested
    if not failures.unrenderable:
        try:
            if findings is not None:
                if findings.selection is not None:
                    return _Chosen(findings.selection)
                findings.raise_error()
            selection = await pictures.select(
                wanted.contact,
                requested,
                trace,
                reload=reread,
                ruled_out=failures.of_picture,
                whole=_wants_whole(wanted.request),
                look=None if findings is None else findings.look,
            )
            return _Chosen(selection)
        except (NoPicture, Unrenderable) as error:
            if requested.if_blank is IfBlank.NULL:
                raise
            failures.unrenderable = isinstance(error, Unrenderable)
    language = request_values.language(wanted.request, wanted.request.app[LANGUAGES])
    words = wanted.request.app[LANGUAGES].words(NO_PHOTO, {}, language)
    placeholder = pictures.placeholder(requested, words, language, wanted.initials, failures.of_placeholder)
    return _Chosen(placeholder, language, _UNRENDERABLE if failures.unrenderable else "placeholder")


def _is_valid_at_client(request: web.Request, selection: Selection) -> bool:
    etags, date = request_values.field(request, "If-None-Match"), request_values.field(request, "If-Modified-Since")
    return not_modified(selection.etag, selection.last_modified, etags, date)


def _wants_whole(request: web.Request) -> bool:
    """Return whether the answer has the whole body, whatever the selection is."""
    return request.method == "GET" and CONDITIONS.isdisjoint(request.headers)


def _requested_part(request: web.Request, selection: Selection) -> range | None:
    """Return the positions of the requested range; None if the whole picture is to be sent.

    `Range` is defined for GET only, and counts after the other conditions (RFC 9110 sections 14.2 and 13.2.2). Raise
    `RangeNotSatisfiable` if the range begins past the end.
    """
    original = selection.original
    if request.method != "GET" or original is None or not serves_ranges(selection):
        return None
    part = parse_range(request_values.field(request, "Range"), original.size)
    if part is None or not if_range_holds(
        selection.etag, selection.last_modified, request_values.field(request, "If-Range"), time.time()
    ):
        return None
    if not part:
        raise RangeNotSatisfiable(
            N_("None of the picture's %(length)s bytes are in the range that was asked for."), {"length": original.size}
        )
    return part


async def _load(request: web.Request, selection: Selection, part: range | None, trace: Trace) -> Picture:
    pictures = request.app[PICTURES]
    if part is not None:
        return await pictures.load_part(selection, part, trace)
    return await pictures.load(selection, trace, body=request.method == "GET")


def _is_repeatable(selection: Selection) -> bool:
    """Return whether the cached bytes are the body, and the header is the same for all requesters."""
    return selection.placeholder is None and not selection.choice.json
