"""Answers to GET of pictures that no index knows, from one look for the picture, below the router."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import NamedTuple

from aiohttp import hdrs, web

from service.errors import PictureError
from service.pictures.contact_pictures import ContactPictures, Look
from service.pictures.trace import Trace
from service.pictures.values import OriginalChanged
from service.protocol.negotiate import RequestedPicture, requested_picture
from service.protocol.query import parse_query
from service.web.policy import ResponsePolicy
from service.web.prebuilt import PrebuiltResponse
from service.web.repeats import MAX_TEXT, Key, Repeats
from service.web.request_values import CONDITIONS
from service.web.requester import Requester

_USUAL = re.compile(r"/api/v1/Contact/([1-9][0-9]{0,8})/Image(?:\?([!-~]*))?")
"""The usual spelling of a target. Other spellings go to the router."""


class Looked(NamedTuple):
    """What was found for a request that the handler must answer, so that it is not looked up twice."""

    look: Look
    trace: Trace


LOOKED = web.RequestKey("looked", Looked)


class DirectAnswers:
    """Answers with *pictures* of which everything is found at once. They are kept in *repeats*."""

    def __init__(self, pictures: ContactPictures, repeats: Repeats, policy: ResponsePolicy) -> None:
        self._pictures, self._repeats, self._policy = pictures, repeats, policy
        self._requested = lru_cache(1024)(self._parse)

    async def answer(self, request: web.BaseRequest, requester: Requester, key: Key) -> PrebuiltResponse | None:
        """Return the answer to *request*, which has that *key*.

        Return None if the handler must answer. What was found is then in *request*.
        """
        begun, (target, accept) = time.perf_counter(), key
        path = _USUAL.fullmatch(target)
        if path is None or len(target) + len(accept or "") > MAX_TEXT:
            return None
        requested = self._requested(path[2] or "", accept)
        if requested is None:
            return None
        whole, trace = request.method == hdrs.METH_GET and CONDITIONS.isdisjoint(request.headers), Trace()
        try:
            look = await self._pictures.look(int(path[1]), requested, trace, whole=whole)
        except OriginalChanged:
            return None  # the handler tries again
        try:
            found = await self._pictures.cached(look, requested, trace, whole=whole)
        except PictureError:
            found = None  # the handler raises it, too
        if found is None or found[0].choice.json:
            request[LOOKED] = Looked(look, trace)
            return None
        negotiated = requested.type is None
        return self._repeats.first_answer(request, requester, key, *found, trace, begun, negotiated=negotiated)

    def _parse(self, query: str, accept: str | None) -> RequestedPicture | None:
        try:
            parsed = parse_query(query, self._policy.max_dimension)
            return requested_picture(parsed, accept, self._policy.preference)
        except PictureError:
            return None  # the handler raises it, too
