"""Answers to requests for pictures that no index knows, below the router: from one look, or with what is made then."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import NamedTuple

from aiohttp import hdrs, web

from service.errors import PictureError
from service.pictures.contact_pictures import ContactPictures, Look
from service.pictures.selection import Selection
from service.pictures.trace import NewTrace, Trace
from service.pictures.values import Entry, OriginalChanged, Picture
from service.protocol.cache_status import server_timing
from service.protocol.negotiate import RequestedPicture, requested_picture
from service.web.access_log import ANSWER, AccessLog, Answer
from service.web.client_address import Networks
from service.web.connections import Connection
from service.web.policy import ResponsePolicy
from service.web.prebuilt import PrebuiltResponse, takes_prebuilt
from service.web.repeats import MAX_TEXT, RepeatKey, Repeats, lookup_timing, repeat_key
from service.web.request_values import CONDITIONS
from service.web.requester import Requester
from service.web.waiting_client import WaitingClient

USUAL = re.compile(r"/api/v1/Contact/([1-9][0-9]{0,8})/Image(?:\?([!-~]*))?")
"""The usual spelling of a target. Other spellings go to the router."""


class Findings:
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


FINDINGS = web.RequestKey("findings", Findings)


class _PictureRequest(NamedTuple):
    """What a request asks for. *whole*: its answer has the whole body, whatever is selected. *version* is its `v`."""

    contact: int
    requested: RequestedPicture
    version: str
    key: RepeatKey
    whole: bool


class DirectAnswers:
    """Answers with *pictures* of which everything is found at once, and with renditions. They are kept in *repeats*.

    All else is left to the handler: errors, JSON, placeholders, older renditions. *proxies* are the trusted ones.
    *new_trace* returns the trace of a request.
    """

    def __init__(
        self,
        pictures: ContactPictures,
        repeats: Repeats,
        policy: ResponsePolicy,
        proxies: Networks,
        access_log: AccessLog,
        new_trace: NewTrace = Trace,
    ) -> None:
        self._pictures, self._repeats, self._policy, self._proxies = pictures, repeats, policy, proxies
        self._access_log, self._new_trace = access_log, new_trace
        self._requested = lru_cache(1024)(self._parse)

    def answer_at_once(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Return the answer to *request* if it needs no wait. What was found otherwise is then in *request*."""
        begun, wanted = time.perf_counter(), self._read(request, requester)
        if wanted is None:
            return None
        trace = self._new_trace()
        if (look := self._pictures.look_at_once(wanted.contact, wanted.requested, trace)) is None:
            return None
        if (found := self._pictures.seen(look, wanted.requested, trace)) is None or found[0].choice.json:
            request[FINDINGS] = Findings(look, trace)
            return None
        return self._answer(request, requester, wanted, *found, trace, lookup_timing(begun))

    async def answer(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Return the answer to *request*, after `answer_at_once` has not.

        Return None if the handler must answer. What was found is then in *request*.
        """
        begun, wanted = time.perf_counter(), self._read(request, requester)
        if wanted is None or FINDINGS in request:
            return None
        requested, whole, trace = wanted.requested, wanted.whole, self._new_trace()
        trace.owner = wanted.contact
        try:
            look = await self._pictures.look(wanted.contact, requested, trace, whole=whole)
        except OriginalChanged:
            return None  # the handler tries again
        findings = Findings(look, trace)
        try:
            found = await self._pictures.cached(look, requested, trace, whole=whole)
        except PictureError as error:
            found, findings.error = None, error
        if found is not None and not found[0].choice.json:
            return self._answer(request, requester, wanted, *found, trace, lookup_timing(begun))
        request[FINDINGS] = findings
        if found is not None or findings.error is not None or not whole:
            return None
        await self._make(request, wanted, findings)
        selection, picture = findings.selection, findings.picture
        if selection is None or picture is None or picture.older is not None or _is_stale(trace):
            return None
        return self._answer(request, requester, wanted, selection, picture, trace, server_timing(trace.seconds))

    async def _make(self, request: web.BaseRequest, wanted: _PictureRequest, findings: Findings) -> None:
        """Select the picture and, if it is a rendition, load it. Put what comes of that into *findings*."""
        connection, trace = request.protocol, findings.trace
        assert isinstance(connection, Connection)
        trace.client = WaitingClient(request, connection, self._proxies)
        try:
            findings.selection = selection = await self._pictures.select(
                wanted.contact, wanted.requested, trace, whole=True, look=findings.look
            )
            if selection.work is not None and not selection.choice.json:
                findings.picture = await self._pictures.load(selection, trace)
        except Exception as error:  # the handler raises it again
            findings.error = error

    def _read(self, request: web.BaseRequest, requester: Requester) -> _PictureRequest | None:
        """Return what *request* asks for; None if that is unusual."""
        key = repeat_key(request, requester)
        path = USUAL.fullmatch(key[0])
        if path is None or len(key[0]) + len(key[1] or "") > MAX_TEXT:
            return None
        if hdrs.RANGE in request.headers or not takes_prebuilt(request):
            return None
        parsed = self._requested(path[2] or "", key[1])
        if parsed is None:
            return None
        whole = request.method == hdrs.METH_GET and CONDITIONS.isdisjoint(request.headers)
        return _PictureRequest(int(path[1]), *parsed, key, whole)

    def _answer(
        self,
        request: web.BaseRequest,
        requester: Requester,
        wanted: _PictureRequest,
        selection: Selection,
        found: Entry | Picture,
        trace: Trace,
        timing: str,
    ) -> PrebuiltResponse:
        assert isinstance(found.body, bytes)  # it is cached, or a rendition
        if self._access_log.on:
            request[ANSWER] = Answer(selection.owner, selection.field, trace.source, trace.fwd is None)
        lifetime, negotiated = self._policy.lifetimes.of(selection, wanted.version), wanted.requested.type is None
        return self._repeats.first_answer(
            request,
            requester,
            wanted.key,
            selection,
            found.body,
            found.detail,
            lifetime,
            trace,
            timing,
            negotiated=negotiated,
        )

    def _parse(self, query: str, accept: str | None) -> tuple[RequestedPicture, str] | None:
        try:
            parsed = self._policy.parse(query)
            return requested_picture(parsed, accept, self._policy.preference), parsed.version
        except PictureError:
            return None  # the handler raises it, too


def _is_stale(trace: Trace) -> bool:
    return trace.ttl is not None and trace.ttl < 0
