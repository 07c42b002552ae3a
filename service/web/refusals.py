"""Answers to requests that failed, made from the table of errors in `web.problems`."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web
from multidict import CIMultiDict

from service.errors import N_, BadParameter, PictureError
from service.protocol.languages import Languages
from service.web.headers import common, vary
from service.web.keys import AUTHENTICATOR, LANGUAGES, RESPONSE_POLICY
from service.web.policy import cache_control
from service.web.problems import headers_of, problem, status_of
from service.web.request_ids import X_REQUEST_ID
from service.web.request_values import contact_id, culture, language
from service.web.requester import REFUSED_REQUESTER, REQUESTER, target

WENT_WRONG = N_("Something went wrong on our side.")
"""The text of an answer to an unexpected error."""


def refuse(request: web.Request, error: PictureError, request_id: str) -> web.Response:
    """Return the answer to *request*, which failed with *error*."""
    app, languages = request.app, request.app[LANGUAGES]
    words = language(request, languages)
    contact, negotiated = _subject(request)
    headers = common(contact, vary(negotiated=negotiated, worded=True))
    missing = app[RESPONSE_POLICY].lifetimes.missing
    values = {
        "challenge": app[AUTHENTICATOR].challenge,
        "missing": cache_control(missing, request.get(REQUESTER, REFUSED_REQUESTER)),
    }
    body = problem(error, languages, words, culture(request, languages), request.path, request_id)
    return _response(error, headers, words, values, body, request_id)


def refuse_unread(languages: Languages, error: PictureError, request_id: str) -> web.Response:
    """Return the answer to a request that failed with *error* before its header was read."""
    words = languages.choose(None, None)
    body = problem(error, languages, words, None, "/", request_id)
    return _response(error, common(None, None), words, {}, body, request_id)


def _response(
    error: PictureError,
    headers: CIMultiDict[str],
    language: str,
    values: dict[str, str],
    body: bytes,
    request_id: str,
) -> web.Response:
    headers["Content-Type"] = "application/problem+json"
    headers["Content-Language"] = language
    headers[X_REQUEST_ID] = request_id
    headers.update(headers_of(error, values))
    return web.Response(status=status_of(error), headers=headers, body=body)


def _subject(request: web.Request) -> tuple[int | None, bool]:
    """Return the contact, if there is a valid one, and whether the answer may depend on `Accept`.

    It may if the query is malformed, since a valid one could be without `type`.
    """
    if "contact" not in request.match_info:
        return None, False
    contact, negotiated = None, True
    with suppress(BadParameter):
        contact = contact_id(request)
    with suppress(BadParameter):
        query = target(request).partition("?")[2]
        negotiated = request.app[RESPONSE_POLICY].parse(query).type is None
    return contact, negotiated
