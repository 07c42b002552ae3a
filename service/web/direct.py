"""Answers to requests for pictures that no index knows, below the router: from one look, or with what is made then."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from aiohttp import hdrs, web

from service.errors import PictureError
from service.pictures.contact_pictures import ContactPictures, Look
from service.pictures.selection import Selection
from service.pictures.trace import Trace
from service.pictures.values import OriginalChanged, Picture
from service.protocol.negotiate import RequestedPicture, requested_picture
from service.protocol.query import parse_query
from service.web.client_address import Networks
from service.web.connections import Connection
from service.web.policy import ResponsePolicy
from service.web.prebuilt import PrebuiltResponse, takes_prebuilt
from service.web.repeats import MAX_TEXT, Repeats
from service.web.request_log import identify
from service.web.request_values import CONDITIONS, field
from service.web.requester import Requester, target
from service.web.waiting_client import WaitingClient

_USUAL = re.compile(r"/api/v1/Contact/([1-9][0-9]{0,8})/Image(?:\?([!-~]*))?")
"""The usual spelling of a target. Other spellings go to the router."""


class Looked:
    """What was found and made for a request that the handler must answer, so that nothing is done twice.

    *error* is what the selection has failed with, or without it the making of the picture.
    """

    def __init__(self, look: Look, trace: Trace) -> None:
        self.look, self.trace = look, trace
        self.selection: Selection | None = None
        self.picture: Picture | None = None
        self.error: Exception | None = None

    def raise_error(self) -> None:
        """Raise the error, if there is one, and forget it: it refers to the frames that refer to this object."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None


LOOKED = web.RequestKey("looked", Looked)


class DirectAnswers:
    """Answers with *pictures* of which everything is found at once, and with renditions. They are kept in *repeats*.

    All else is left to the handler: errors, JSON, placeholders, older renditions. *proxies* are the trusted ones.
    """

    def __init__(self, pictures: ContactPictures, repeats: Repeats, policy: ResponsePolicy, proxies: Networks) -> None:
        self._pictures, self._repeats, self._policy, self._proxies = pictures, repeats, policy, proxies
        self._requested = lru_cache(1024)(self._parse)

    async def answer(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Return the answer to *request*.

        Return None if the handler must answer. What was found is then in *request*.
        """
        begun, whole_target, accept = time.perf_counter(), target(request), field(request, hdrs.ACCEPT)
        path = _USUAL.fullmatch(whole_target)
        if path is None or len(whole_target) + len(accept or "") > MAX_TEXT:
            return None
        if hdrs.RANGE in request.headers or not takes_prebuilt(request):
            return None
        requested = self._requested(path[2] or "", accept)
        if requested is None:
            return None
        whole, trace = request.method == hdrs.METH_GET and CONDITIONS.isdisjoint(request.headers), Trace()
        try:
            look = await self._pictures.look(int(path[1]), requested, trace, whole=whole)
        except OriginalChanged:
            return None  # the handler tries again
        looked, negotiated = Looked(look, trace), requested.type is None
        try:
            found = await self._pictures.cached(look, requested, trace, whole=whole)
        except PictureError as error:
            found, looked.error = None, error
        if found is not None and not found[0].choice.json:
            selection, entry = found
            return self._repeats.first_answer(
                request, requester, selection, entry.body, entry.detail, trace, begun, negotiated=negotiated
            )
        request[LOOKED] = looked
        if found is not None or looked.error is not None or not whole:
            return None
        await self._make(request, int(path[1]), requested, looked)
        picture = looked.picture
        if looked.selection is None or picture is None or picture.older is not None or _is_stale(trace):
            return None
        assert isinstance(picture.body, bytes)  # a rendition
        return self._repeats.first_answer(
            request, requester, looked.selection, picture.body, picture.detail, trace, begun, negotiated=negotiated
        )

    async def _make(self, request: web.BaseRequest, contact: int, requested: RequestedPicture, looked: Looked) -> None:
        """Select the picture and, if it is a rendition, load it. Put what comes of that into *looked*."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        identify(request)
        looked.trace.client = WaitingClient(request, connection, self._proxies)
        try:
            looked.selection = selection = await self._pictures.select(
                contact, requested, looked.trace, whole=True, look=looked.look
            )
            if selection.work is not None and not selection.choice.json:
                looked.picture = await self._pictures.load(selection, looked.trace)
        except Exception as error:  # the handler raises it again
            looked.error = error

    def _parse(self, query: str, accept: str | None) -> RequestedPicture | None:
        try:
            parsed = parse_query(query, self._policy.max_dimension)
            return requested_picture(parsed, accept, self._policy.preference)
        except PictureError:
            return None  # the handler raises it, too


def _is_stale(trace: Trace) -> bool:
    return trace.ttl is not None and trace.ttl < 0
