"""Answers to repeats: requests with the target and `Accept` of an earlier one.

The index holds no bodies: the cache holds these, within its bounds. An earlier answer is used only while the cache
still holds the record of the original that it was made from.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from aiohttp import hdrs, web
from moka_py import Moka
from multidict import CIMultiDict

from service.errors import PictureError
from service.formats import Format
from service.pictures.contact_pictures import ContactPictures
from service.pictures.near import Seen
from service.pictures.selection import Selected, Selection
from service.pictures.trace import Trace
from service.pictures.values import Entry, OriginalChanged
from service.protocol.cache_status import CacheStatus
from service.protocol.conditionals import not_modified
from service.protocol.negotiate import requested_picture
from service.protocol.query import parse_query
from service.web.headers import describe_body, disposition, own_headers, picture_headers, vary
from service.web.policy import ResponsePolicy
from service.web.prebuilt import PrebuiltResponse, head, takes_prebuilt
from service.web.request_values import CONDITIONS, field
from service.web.requester import Requester, target
from service.web.sharing import SharingHeaders

SEEN = web.RequestKey("seen", object)
"""What a store has answered to a request, or its error, so that it is not asked again for the same request."""

_MAX_TEXT = 512
"""Characters of target and `Accept` together. Longer ones are rare, and would make the index large."""
_OVERHEAD = 1_250
"""Bytes of an entry in addition to its target and its own fields, and 400 of the record (measured, rounded up)."""
_OWN = ("ETag", "Last-Modified", "Surrogate-Key", "Cache-Tag")
"""Fields with other values for each picture."""
_PLAIN = re.compile(r"/api/v1/Contact/([1-9][0-9]{0,8})/Image")
"""The usual spelling of a target without a query. Other spellings go to the router."""
_NO_QUERY = parse_query("", 1)
_Key = tuple[str, str | None]


class _Heads(NamedTuple):
    """The parts of the headers of 200 and 304 that many pictures have in common, and the suffix of their files."""

    full: bytes
    unchanged: bytes
    suffix: str


@dataclass(frozen=True, slots=True)
class _EarlierAnswer(Selected):
    """What was selected for a request, its validators, and the header of its answer: *heads* and its *own* lines.

    The trace and the fields of `SharingHeaders.lines` are missing from the header.
    """

    etag: str
    modified: int | None
    heads: _Heads
    own: str


class _LeadingRequest:
    """A *request* that is being answered, and for which followers wait. *missed*: it was not a cache hit."""

    __slots__ = ("missed", "request", "settled")

    def __init__(self, request: web.BaseRequest) -> None:
        self.request, self.settled, self.missed = request, asyncio.Event(), False


class Repeats:
    """An index of answers by target and `Accept`, of *capacity* bytes, and the requests that are being answered.

    The requester is not part of the key: every requester who may see a picture gets the same one.
    """

    def __init__(
        self, pictures: ContactPictures, sharing: SharingHeaders, policy: ResponsePolicy, capacity: int
    ) -> None:
        self._pictures, self._sharing, self._policy = pictures, sharing, policy
        self._formats_as_stored = lru_cache(1024)(self._find_formats_as_stored)
        self._heads_by_format: dict[Format, _Heads] = {}
        self._index: Moka[_Key, _EarlierAnswer] = Moka(capacity, weigher=_weight)
        self._leaders: dict[_Key, _LeadingRequest] = {}

    def keep(
        self,
        target: str,
        accept: str | None,
        selection: Selection,
        full: CIMultiDict[str],
        unchanged: CIMultiDict[str],
    ) -> None:
        """Remember the answer to GET of *target* with *accept*: *full* are the headers of 200, *unchanged* of 304."""
        heads = _heads(self._common(full), self._common(unchanged), selection.choice.format.suffix)
        self._keep(target, accept, selection, heads, unchanged)

    def _keep(
        self, target: str, accept: str | None, selection: Selection, heads: _Heads, unchanged: Mapping[str, str]
    ) -> _EarlierAnswer | None:
        """Remember the answer, and return it. Return None if it cannot be repeated."""
        if len(target) + len(accept or "") > _MAX_TEXT or (recorded := selection.recorded) is None:
            return None
        earlier = _EarlierAnswer(
            selection.owner,
            selection.field,
            recorded.record,
            recorded.until,
            selection.etag,
            selection.last_modified,
            heads,
            "".join([f"{name}: {unchanged[name]}\r\n" for name in _OWN if name in unchanged]),
        )
        self._index.set((target, accept and sys.intern(accept)), earlier)
        return earlier

    def settle(self, target: str, accept: str | None, *, missed: bool) -> None:
        """Wake the followers of GET of *target* with *accept*: its answer is known, though not yet sent."""
        if (leader := self._leaders.pop((target, accept), None)) is not None:
            leader.missed = missed
            leader.settled.set()

    async def follow(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Wait for an equal request that is being answered, and return its answer; None if there is none to share.

        If no equal request is being answered, *request* becomes the leader until `settle` or `release`.
        """
        if CONDITIONS.intersection(request.headers) or not takes_prebuilt(request):
            return None
        begun = time.perf_counter()
        key = requester.target or request.raw_path, field(request, hdrs.ACCEPT)
        leader = self._leaders.get(key)
        if leader is None:
            self._leaders[key] = _LeadingRequest(request)
            return None
        await leader.settled.wait()  # needs no time-out: `release` is called however the leader ends
        earlier = self._index.get(key)
        found = earlier and self._pictures.revalidate_local(earlier)
        if not earlier or not found:
            return None
        return self._response(request, requester, earlier, *found, begun, collapsed=leader.missed)

    def find(self, request: web.BaseRequest, requester: Requester) -> _EarlierAnswer | None:
        """Return the answer to an earlier GET or HEAD with the same key; None if *request* cannot be answered so."""
        if hdrs.RANGE in request.headers or not takes_prebuilt(request):
            return None
        return self._index.get((requester.target or request.raw_path, field(request, hdrs.ACCEPT)))

    def answer(
        self, request: web.BaseRequest, requester: Requester, earlier: _EarlierAnswer
    ) -> PrebuiltResponse | None:
        """Return the answer to GET or HEAD if record and rendition are in memory."""
        begun = time.perf_counter()
        found = self._pictures.revalidate_local(earlier)
        return self._response(request, requester, earlier, *found, begun) if found else None

    async def answer_shared(
        self, request: web.BaseRequest, requester: Requester, earlier: _EarlierAnswer
    ) -> PrebuiltResponse | None:
        """Return the answer to GET if record and rendition are in the shared cache. HEAD would read a body in vain."""
        begun = time.perf_counter()
        found = await self._pictures.revalidate_shared(earlier)
        return self._response(request, requester, earlier, *found, begun) if found else None

    async def answer_stored(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Return the answer to GET or HEAD of a contact's picture as it is stored, if the store is near.

        Return None if the handler must answer. What the store has answered, or its error, is then put into *request*.
        """
        target, accept = requester.target or request.raw_path, field(request, hdrs.ACCEPT)
        path = _PLAIN.fullmatch(target)
        if path is None or hdrs.RANGE in request.headers or not takes_prebuilt(request):
            return None
        if accept is not None and len(accept) > _MAX_TEXT - len(target):
            return None
        begun, trace = time.perf_counter(), Trace()
        try:
            found = await self._pictures.stored(int(path[1]), self._formats_as_stored(accept), trace)
        except OriginalChanged:
            return None
        except PictureError as error:
            request[SEEN] = error
            return None
        if found is None or isinstance(found, Seen):
            if found is not None:
                request[SEEN] = found
            return None
        selection, entry = found
        own = own_headers(selection, int(path[1]))
        earlier = self._keep(target, accept, selection, self._stored_heads(selection, requester), own)
        if earlier is None:
            return None
        status = _status(trace.ttl, trace.fwd, trace.collapsed)
        return self._response(request, requester, earlier, entry, 0, begun, status=status)

    def _find_formats_as_stored(self, accept: str | None) -> frozenset[Format]:
        return self._pictures.formats_as_stored(requested_picture(_NO_QUERY, accept, self._policy.preference))

    def _stored_heads(self, selection: Selection, requester: Requester) -> _Heads:
        """Return the common parts of the headers of *selection*: they follow from its format."""
        heads = self._heads_by_format.get(selection.choice.format)
        if heads is None:
            contact = selection.owner
            assert isinstance(contact, int)
            unchanged = picture_headers(
                selection, contact, self._policy.lifetimes, requester, vary(negotiated=True, worded=False), stale=False
            )
            full = unchanged.copy()
            describe_body(full, selection, contact, "")
            heads = _heads(self._common(full), self._common(unchanged), selection.choice.format.suffix)
            self._heads_by_format[selection.choice.format] = heads
        return heads

    def release(self, request: web.BaseRequest) -> None:
        """Wake the followers of *request*, which is answered or has failed, unless `settle` has."""
        key = target(request), field(request, hdrs.ACCEPT)
        if (leader := self._leaders.get(key)) is not None and leader.request is request:
            self.settle(*key, missed=True)

    def _response(
        self,
        request: web.BaseRequest,
        requester: Requester,
        earlier: _EarlierAnswer,
        entry: Entry,
        ttl: int,
        begun: float,
        *,
        collapsed: bool = False,
        status: str | None = None,
    ) -> PrebuiltResponse:
        """Return 200 or 304 with *entry*, which is fresh for *ttl* seconds. *begun* is from `time.perf_counter`.

        *status* is `Cache-Status`; by default it says that it is a hit, or *collapsed*.
        """
        fields = request.headers
        unchanged = False
        if hdrs.IF_NONE_MATCH in fields or hdrs.IF_MODIFIED_SINCE in fields:
            tags, date = field(request, hdrs.IF_NONE_MATCH), field(request, hdrs.IF_MODIFIED_SINCE)
            # Most clients send one tag, which the first comparison finds.
            unchanged = tags == earlier.etag or not_modified(earlier.etag, earlier.modified, tags, date)
        took = (time.perf_counter() - begun) * 1000
        status = status or (_collapsed(entry.detail) if collapsed else _hit(ttl, entry.detail))
        sharing = self._sharing.lines(request, requester)
        changing = f"{earlier.own}{sharing}Cache-Status: {status}\r\nServer-Timing: cache;dur={took:.3f}\r\n"
        if unchanged:
            return PrebuiltResponse(304, earlier.heads.unchanged, changing, b"")
        assert isinstance(earlier.owner, int)  # placeholders are not kept
        named = f"{changing}Content-Disposition: {disposition(earlier.owner, earlier.heads.suffix)}\r\n"
        return PrebuiltResponse(200, earlier.heads.full, named, entry.body)

    def _common(self, headers: CIMultiDict[str]) -> tuple[tuple[str, str], ...]:
        """Return the fields of *headers* that many pictures have in common."""
        common = self._sharing.prebuilt(headers)
        for name in (*_OWN, hdrs.CONTENT_DISPOSITION):
            common.pop(name, None)
        return tuple(common.items())


@lru_cache(256)
def _heads(full: tuple[tuple[str, str], ...], unchanged: tuple[tuple[str, str], ...], suffix: str) -> _Heads:
    return _Heads(head(200, full), head(304, unchanged), suffix)


def _weight(key: _Key, earlier: _EarlierAnswer) -> int:
    return len(key[0]) + len(earlier.own) + _OVERHEAD


@lru_cache(1024)
def _hit(ttl: int, detail: str) -> str:
    return str(CacheStatus(hit=True, ttl=ttl, detail=detail or None))


@lru_cache(16)
def _collapsed(detail: str) -> str:
    return str(CacheStatus(hit=False, fwd="miss", collapsed=True, detail=detail or None))


@lru_cache(1024)
def _status(ttl: int | None, fwd: str | None, collapsed: bool) -> str:
    return str(CacheStatus(hit=fwd is None, ttl=None if fwd else ttl, fwd=fwd, collapsed=collapsed))
