"""Answers to GET of pictures that no index knows, from one look for the picture, below the router."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import NamedTuple

from aiohttp import hdrs, web

from service.errors import PictureError
from service.pictures.contact_pictures import ContactPictures, Look
from service.pictures.selection import Selection
from service.pictures.trace import Trace
from service.pictures.values import Entry, OriginalChanged
from service.protocol.negotiate import RequestedPicture, requested_picture
from service.web.policy import ResponsePolicy
from service.web.prebuilt import PrebuiltResponse, takes_prebuilt
from service.web.repeats import MAX_TEXT, RepeatKey, Repeats, repeat_key
from service.web.request_values import CONDITIONS
from service.web.requester import Requester

_USUAL = re.compile(r"/api/v1/Contact/([1-9][0-9]{0,8})/Image(?:\?([!-~]*))?")
"""The usual spelling of a target. Other spellings go to the router."""


class Looked(NamedTuple):
    """What was found for a request that the handler must answer, so that it is not looked up twice."""

    look: Look
    trace: Trace


LOOKED = web.RequestKey("looked", Looked)


class _Asked(NamedTuple):
    """What a request asks for. *whole*: its answer has the whole body, whatever is selected. *version* is its `v`."""

    contact: int
    requested: RequestedPicture
    version: str
    key: RepeatKey
    whole: bool


class DirectAnswers:
    """Answers with *pictures* of which everything is found at once. They are kept in *repeats*."""

    def __init__(self, pictures: ContactPictures, repeats: Repeats, policy: ResponsePolicy) -> None:
        self._pictures, self._repeats, self._policy = pictures, repeats, policy
        self._requested = lru_cache(1024)(self._parse)

    def answer_at_once(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Return the answer to *request* if it needs no wait. What was found otherwise is then in *request*."""
        begun, asked = time.perf_counter(), self._read(request, requester)
        if asked is None:
            return None
        trace = Trace()
        if (look := self._pictures.look_at_once(asked.contact, asked.requested, trace)) is None:
            return None
        if (found := self._pictures.seen(look, asked.requested, trace)) is None or found[0].choice.json:
            request[LOOKED] = Looked(look, trace)
            return None
        return self._answer(request, requester, asked, found, trace, begun)

    async def answer(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Return the answer to *request*, after `answer_at_once` has not.

        Return None if the handler must answer. What was found is then in *request*.
        """
        begun, asked = time.perf_counter(), self._read(request, requester)
        if asked is None or LOOKED in request:
            return None
        requested, whole, trace = asked.requested, asked.whole, Trace()
        trace.owner = asked.contact
        try:
            look = await self._pictures.look(asked.contact, requested, trace, whole=whole)
        except OriginalChanged:
            return None  # the handler tries again
        try:
            found = await self._pictures.cached(look, requested, trace, whole=whole)
        except PictureError:
            found = None  # the handler raises it, too
        if found is None or found[0].choice.json:
            request[LOOKED] = Looked(look, trace)
            return None
        return self._answer(request, requester, asked, found, trace, begun)

    def _read(self, request: web.BaseRequest, requester: Requester) -> _Asked | None:
        """Return what *request* asks for; None if that is unusual."""
        key = repeat_key(request, requester)
        path = _USUAL.fullmatch(key[0])
        if path is None or len(key[0]) + len(key[1] or "") > MAX_TEXT:
            return None
        if hdrs.RANGE in request.headers or not takes_prebuilt(request):
            return None
        parsed = self._requested(path[2] or "", key[1])
        if parsed is None:
            return None
        whole = request.method == hdrs.METH_GET and CONDITIONS.isdisjoint(request.headers)
        return _Asked(int(path[1]), *parsed, key, whole)

    def _answer(
        self,
        request: web.BaseRequest,
        requester: Requester,
        asked: _Asked,
        found: tuple[Selection, Entry],
        trace: Trace,
        begun: float,
    ) -> PrebuiltResponse:
        lifetime, negotiated = self._policy.lifetimes.of(found[0], asked.version), asked.requested.type is None
        return self._repeats.first_answer(
            request, requester, asked.key, *found, lifetime, trace, begun, negotiated=negotiated
        )

    def _parse(self, query: str, accept: str | None) -> tuple[RequestedPicture, str] | None:
        try:
            parsed = self._policy.parse(query)
            return requested_picture(parsed, accept, self._policy.preference), parsed.version
        except PictureError:
            return None  # the handler raises it, too
