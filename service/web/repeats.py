"""Requests that repeat one in all that counts: a look-up in place of the whole way.

What is kept is a selection and its prebuilt headers, never a body: those stay within the cache's bounds, and a
selection counts only while the record that it stands on is the one in force.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import hdrs, web
from moka_py import Moka
from multidict import CIMultiDict

from service.pictures.contact_pictures import ContactPictures
from service.pictures.selection import Selection
from service.pictures.values import Entry
from service.protocol.cache_status import CacheStatus
from service.protocol.conditionals import not_modified
from service.web.prebuilt import PrebuiltResponse, head, takes_prebuilt
from service.web.requests import field
from service.web.security import Requester, target
from service.web.sharing import SharingHeaders

_MAX_TEXT = 512
"""Characters of path, query and Accept together; longer ones are rare, and would make the index large."""
_CONDITIONS = frozenset((hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.RANGE))

_Key = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class _KnownAnswer:
    """How a request was answered: what was selected, and the headers of its 200 and its 304 as they are sent, all but
    the trace and what depends on who asks."""

    selection: Selection
    full: bytes
    unchanged: bytes


class _LeadingRequest:
    """A *request* that is being answered; *missed* says that it was not out of the cache."""

    __slots__ = ("missed", "request", "settled")

    def __init__(self, request: web.BaseRequest) -> None:
        self.request, self.settled, self.missed = request, asyncio.Event(), False


class Repeats:
    """A bounded index by the request's target and `Accept`, and the requests that are being answered, by the same.

    Who asks is settled before, and is no part of it: the same picture for all who may see it.
    """

    def __init__(self, pictures: ContactPictures, sharing: SharingHeaders, capacity: int = 8192) -> None:
        self._pictures, self._sharing = pictures, sharing
        self._index: Moka[_Key, _KnownAnswer] = Moka(capacity)
        self._firsts: dict[_Key, _LeadingRequest] = {}

    def keep(
        self,
        target: str,
        accept: str | None,
        selection: Selection,
        full: CIMultiDict[str],
        unchanged: CIMultiDict[str],
    ) -> None:
        """Remember how GET of *target* with *accept* was answered: with the headers *full*, or *unchanged* as 304."""
        if len(target) + len(accept or "") <= _MAX_TEXT:
            sharing = self._sharing
            known = _KnownAnswer(selection, head(200, sharing.prebuilt(full)), head(304, sharing.prebuilt(unchanged)))
            self._index.set((target, accept), known)

    def settle(self, target: str, accept: str | None, *, missed: bool) -> None:
        """It is known how GET of *target* with *accept* is answered, if not yet sent: whoever waits for it goes on."""
        if (first := self._firsts.pop((target, accept), None)) is not None:
            first.missed = missed
            first.settled.set()

    async def follow(self, request: web.BaseRequest, requester: Requester) -> web.StreamResponse | None:
        """The answer to GET that the like of it, which is being answered, has found; None where nothing is.

        Then *request* is the first of its like, until it is settled or left.
        """
        if _CONDITIONS.intersection(request.headers) or not takes_prebuilt(request):
            return None  # its answer may need no picture
        begun = time.perf_counter()
        key = requester.target or request.raw_path, field(request, hdrs.ACCEPT)
        first = self._firsts.get(key)
        if first is None:
            self._firsts[key] = _LeadingRequest(request)
            return None
        await first.settled.wait()  # bounded as the other's own time is: it is left whatever becomes of it
        known = self._index.get(key)
        found = known and self._pictures.revalidate_local(known.selection)
        if not known or not found:
            return None
        return self._response(request, requester, known, *found, begun, collapsed=first.missed)

    def find(self, request: web.BaseRequest, requester: Requester) -> _KnownAnswer | None:
        """How GET or HEAD of the like was answered; None where that is not known, or no way to answer *request*."""
        if hdrs.RANGE in request.headers or not takes_prebuilt(request):
            return None
        return self._index.get((requester.target or request.raw_path, field(request, hdrs.ACCEPT)))

    def answer(self, request: web.BaseRequest, requester: Requester, known: _KnownAnswer) -> web.StreamResponse | None:
        """The answer to GET or HEAD, if all of it is in memory."""
        begun = time.perf_counter()
        found = self._pictures.revalidate_local(known.selection)
        return self._response(request, requester, known, *found, begun) if found else None

    async def answer_shared(
        self, request: web.BaseRequest, requester: Requester, known: _KnownAnswer
    ) -> web.StreamResponse | None:
        """The same out of the shared cache; for GET, since HEAD is to read no body."""
        begun = time.perf_counter()
        found = await self._pictures.revalidate_shared(known.selection)
        return self._response(request, requester, known, *found, begun) if found else None

    def left(self, request: web.BaseRequest) -> None:
        """*request* is answered, or has failed: whoever waits for it goes on, if it has not been settled before."""
        key = target(request), field(request, hdrs.ACCEPT)
        if (first := self._firsts.get(key)) is not None and first.request is request:
            self.settle(*key, missed=True)

    def _response(
        self,
        request: web.BaseRequest,
        requester: Requester,
        known: _KnownAnswer,
        entry: Entry,
        ttl: int,
        begun: float,
        *,
        collapsed: bool = False,
    ) -> PrebuiltResponse:
        """200 or 304, with *entry* that is fresh for *ttl* seconds; *begun* is by time.perf_counter."""
        fields, selection = request.headers, known.selection
        unchanged = False
        if hdrs.IF_NONE_MATCH in fields or hdrs.IF_MODIFIED_SINCE in fields:
            tags, date = field(request, hdrs.IF_NONE_MATCH), field(request, hdrs.IF_MODIFIED_SINCE)
            etag = selection.etag
            unchanged = tags == etag or not_modified(etag, selection.last_modified, tags, date)  # most send the one tag
        took = (time.perf_counter() - begun) * 1000
        status = _collapsed(entry.detail) if collapsed else _hit(ttl, entry.detail)
        sharing = self._sharing.lines(request, requester)
        changing = f"{sharing}Cache-Status: {status}\r\nServer-Timing: cache;dur={took:.3f}\r\n"
        if unchanged:
            return PrebuiltResponse(304, known.unchanged, changing, b"")
        return PrebuiltResponse(200, known.full, changing, entry.body)


@lru_cache(1024)
def _hit(ttl: int, detail: str) -> str:
    return str(CacheStatus(hit=True, ttl=ttl, detail=detail or None))


@lru_cache(16)
def _collapsed(detail: str) -> str:
    return str(CacheStatus(hit=False, fwd="miss", collapsed=True, detail=detail or None))
