"""Answers to repeats: requests with the target and `Accept` of an earlier one.

The index holds selections and prebuilt headers, no bodies: the cache holds these, within its bounds. A selection is
used only while the cache still holds the record of the original that it was made from.
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
from service.web.request_values import field
from service.web.requester import Requester, target
from service.web.sharing import SharingHeaders

_MAX_TEXT = 512
"""Characters of target and `Accept` together. Longer ones are rare, and would make the index large."""
_CONDITIONS = frozenset((hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.RANGE))
"""Fields of requests that may be answered without the whole picture."""

_Key = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class _EarlierAnswer:
    """The selection for a request, and the prebuilt headers of its answers with 200 and 304.

    The trace and the fields of `SharingHeaders.lines` are missing from these headers.
    """

    selection: Selection
    full: bytes
    unchanged: bytes


class _LeadingRequest:
    """A *request* that is being answered, and for which followers wait. *missed*: it was not a cache hit."""

    __slots__ = ("missed", "request", "settled")

    def __init__(self, request: web.BaseRequest) -> None:
        self.request, self.settled, self.missed = request, asyncio.Event(), False


class Repeats:
    """An index of answers by target and `Accept`, with room for *capacity*, and the requests that are being answered.

    The requester is not part of the key: every requester who may see a picture gets the same one.
    """

    def __init__(self, pictures: ContactPictures, sharing: SharingHeaders, capacity: int = 8192) -> None:
        self._pictures, self._sharing = pictures, sharing
        self._index: Moka[_Key, _EarlierAnswer] = Moka(capacity)
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
        if len(target) + len(accept or "") <= _MAX_TEXT:
            sharing = self._sharing
            earlier = _EarlierAnswer(
                selection, head(200, sharing.prebuilt(full)), head(304, sharing.prebuilt(unchanged))
            )
            self._index.set((target, accept), earlier)

    def settle(self, target: str, accept: str | None, *, missed: bool) -> None:
        """Wake the followers of GET of *target* with *accept*: its answer is known, though not yet sent."""
        if (leader := self._leaders.pop((target, accept), None)) is not None:
            leader.missed = missed
            leader.settled.set()

    async def follow(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Wait for an equal request that is being answered, and return its answer; None if there is none to share.

        If no equal request is being answered, *request* becomes the leader until `settle` or `release`.
        """
        if _CONDITIONS.intersection(request.headers) or not takes_prebuilt(request):
            return None
        begun = time.perf_counter()
        key = requester.target or request.raw_path, field(request, hdrs.ACCEPT)
        leader = self._leaders.get(key)
        if leader is None:
            self._leaders[key] = _LeadingRequest(request)
            return None
        await leader.settled.wait()  # needs no time-out: `release` is called however the leader ends
        earlier = self._index.get(key)
        found = earlier and self._pictures.revalidate_local(earlier.selection)
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
        found = self._pictures.revalidate_local(earlier.selection)
        return self._response(request, requester, earlier, *found, begun) if found else None

    async def answer_shared(
        self, request: web.BaseRequest, requester: Requester, earlier: _EarlierAnswer
    ) -> PrebuiltResponse | None:
        """Return the answer to GET if record and rendition are in the shared cache. HEAD would read a body in vain."""
        begun = time.perf_counter()
        found = await self._pictures.revalidate_shared(earlier.selection)
        return self._response(request, requester, earlier, *found, begun) if found else None

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
    ) -> PrebuiltResponse:
        """Return 200 or 304 with *entry*, which is fresh for *ttl* seconds. *begun* is from `time.perf_counter`."""
        fields, selection = request.headers, earlier.selection
        unchanged = False
        if hdrs.IF_NONE_MATCH in fields or hdrs.IF_MODIFIED_SINCE in fields:
            tags, date = field(request, hdrs.IF_NONE_MATCH), field(request, hdrs.IF_MODIFIED_SINCE)
            etag = selection.etag
            # Most clients send one tag, which the first comparison finds.
            unchanged = tags == etag or not_modified(etag, selection.last_modified, tags, date)
        took = (time.perf_counter() - begun) * 1000
        status = _collapsed(entry.detail) if collapsed else _hit(ttl, entry.detail)
        sharing = self._sharing.lines(request, requester)
        changing = f"{sharing}Cache-Status: {status}\r\nServer-Timing: cache;dur={took:.3f}\r\n"
        if unchanged:
            return PrebuiltResponse(304, earlier.unchanged, changing, b"")
        return PrebuiltResponse(200, earlier.full, changing, entry.body)


@lru_cache(1024)
def _hit(ttl: int, detail: str) -> str:
    return str(CacheStatus(hit=True, ttl=ttl, detail=detail or None))


@lru_cache(16)
def _collapsed(detail: str) -> str:
    return str(CacheStatus(hit=False, fwd="miss", collapsed=True, detail=detail or None))
