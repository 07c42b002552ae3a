"""Answers to repeats: requests with the target and `Accept` of an earlier one.

The index holds no bodies: the cache holds these, within its bounds. An earlier answer is used only while the cache
still holds the record of the original that it was made from.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from array import array
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import hdrs, web
from moka_py import Moka

from service.pictures.contact_pictures import ContactPictures
from service.pictures.selection import Selected, Selection
from service.pictures.trace import Trace
from service.pictures.values import Entry, StoredEntry
from service.protocol.cache_status import CacheStatus
from service.protocol.conditionals import not_modified
from service.web.access_log import ANSWER, Answer
from service.web.headers import disposition, own_headers
from service.web.heads import CommonHeads, Heads
from service.web.policy import CacheLifetime
from service.web.prebuilt import PrebuiltResponse, takes_prebuilt
from service.web.request_values import CONDITIONS, HasFields, field
from service.web.requester import Requester, kept_target
from service.web.sharing import SharingHeaders
from service.web.streaming import SMALL

MAX_TEXT = 512
"""Characters of target and `Accept` together. Longer ones are rare, and would make the index large."""
_OVERHEAD = 1_250
"""Bytes of an entry in addition to its target and its own fields, and 400 of the record (measured, rounded up)."""
_RECENT = 16_384
"""Hashes of recent keys. A key enters the index when it is among them: to put it there takes as long as the rest of a
hit, and in wide traffic most requests are not repeated before they are evicted."""
RepeatKey = tuple[str, str | None]
"""Target without its signature and `name`, which changes no picture, and `Accept`."""


@dataclass(frozen=True, slots=True)
class EarlierAnswer(Selected):
    """What was selected for a request, its validators, and the header of its answer: *heads* and its *own* lines.

    The trace and the fields of `SharingHeaders.lines` are missing from the header. *small_and_shared*: the body has at
    most `SMALL` bytes, and the shared cache may have it.
    """

    etag: str
    modified: int | None
    heads: Heads
    own: str
    lifetime: CacheLifetime
    small_and_shared: bool


class _LeadingRequest:
    """A *request* that is being answered, and for which followers wait.

    *answer* is None if there is none to share. *missed*: it was not a cache hit.
    """

    __slots__ = ("answer", "missed", "request", "settled")

    def __init__(self, request: web.BaseRequest) -> None:
        self.request, self.settled, self.missed = request, asyncio.Event(), False
        self.answer: EarlierAnswer | None = None


class Repeats:
    """An index of answers by target and `Accept`, of *capacity* bytes, and the requests that are being answered.

    The requester is not part of the key: every requester who may see a picture gets the same one.
    """

    def __init__(self, pictures: ContactPictures, sharing: SharingHeaders, capacity: int) -> None:
        self._pictures, self._sharing = pictures, sharing
        self._heads = CommonHeads(sharing)
        self._index: Moka[RepeatKey, EarlierAnswer] = Moka(capacity, weigher=_weight)
        self._leaders: dict[RepeatKey, _LeadingRequest] = {}
        self._recent = array("q", bytes(8 * _RECENT))

    def keep(
        self,
        target: str,
        accept: str | None,
        selection: Selection,
        length: int,
        lifetime: CacheLifetime,
        *,
        negotiated: bool,
    ) -> EarlierAnswer:
        """Return the answer to GET of *target* with *accept*, for the followers of that request and for repeats.

        It enters the index if the same request came not long ago. Its body has *length* bytes. *negotiated*: `Accept`
        counts.
        """
        contact, recorded = selection.owner, selection.recorded
        assert isinstance(contact, int)
        assert recorded is not None  # placeholders have no record, and are not kept
        earlier = EarlierAnswer(
            contact,
            selection.field,
            recorded.record,
            recorded.until,
            selection.etag,
            selection.last_modified,
            self._heads.of(selection, contact, negotiated=negotiated),
            "".join([f"{name}: {value}\r\n" for name, value in own_headers(selection, contact).items()]),
            lifetime,
            length <= SMALL and not isinstance(recorded.record, StoredEntry),
        )
        key = target, accept
        if (leader := self._leaders.get(key)) is not None:
            leader.answer = earlier
        if self._remember(key) and len(target) + len(accept or "") <= MAX_TEXT:
            self._index.set((target, accept and sys.intern(accept)), earlier)
        return earlier

    def _remember(self, key: RepeatKey) -> bool:
        """Remember *key* for a while, and return whether it was remembered already."""
        number = hash(key)
        at = number % _RECENT
        if self._recent[at] == number:
            return True
        self._recent[at] = number
        return False

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
        key = repeat_key(request, requester)
        leader = self._leaders.get(key)
        if leader is None:
            self._leaders[key] = _LeadingRequest(request)
            return None
        await leader.settled.wait()  # needs no time-out: `release` is called however the leader ends
        earlier = leader.answer
        found = self._pictures.revalidate_local(earlier) if earlier is not None else None
        if earlier is None or found is None:
            return None
        request[ANSWER] = Answer(earlier.owner, earlier.field, "collapsed", hit=not leader.missed)
        entry, ttl = found
        status = _status(ttl, "miss" if leader.missed else None, leader.missed, entry.detail)
        return self._response(request, requester, earlier, entry.body, status, lookup_timing(begun))

    def find(self, request: web.BaseRequest, requester: Requester) -> EarlierAnswer | None:
        """Return the answer to an earlier GET or HEAD with the same key; None if *request* cannot be answered so."""
        if hdrs.RANGE in request.headers or not takes_prebuilt(request):
            return None
        return self.get(repeat_key(request, requester))

    def get(self, key: RepeatKey) -> EarlierAnswer | None:
        """Return the answer to an earlier GET or HEAD with *key*."""
        return self._index.get(key)

    def forget(self, key: RepeatKey) -> None:
        """Remove the answer to *key*, which does not hold any more, from the index."""
        self._index.remove(key)

    def answer(
        self, request: HasFields, requester: Requester, earlier: EarlierAnswer, most: float = math.inf
    ) -> PrebuiltResponse | None:
        """Return the answer to GET or HEAD if record and rendition are in memory, with *most* bytes at most."""
        begun = time.perf_counter()
        found = self._pictures.revalidate_local(earlier, most)
        return self._hit(request, requester, earlier, *found, begun) if found else None

    async def answer_shared(
        self, request: HasFields, requester: Requester, earlier: EarlierAnswer
    ) -> PrebuiltResponse | None:
        """Return the answer to GET if record and rendition are in the shared cache. HEAD would read a body in vain.

        For 304 the rendition is not looked up.
        """
        begun = time.perf_counter()
        found = await self._pictures.revalidate_shared(earlier, body=not _is_unchanged(request, earlier))
        return self._hit(request, requester, earlier, *found, begun) if found else None

    def first_answer(
        self,
        request: web.BaseRequest,
        requester: Requester,
        key: RepeatKey,
        selection: Selection,
        body: bytes,
        detail: str,
        lifetime: CacheLifetime,
        trace: Trace,
        timing: str,
        *,
        negotiated: bool,
    ) -> PrebuiltResponse:
        """Return the answer with *selection*, its *body* and *detail*. It is not in the index, and is remembered."""
        earlier = self.keep(*key, selection, len(body), lifetime, negotiated=negotiated)
        if request.method == hdrs.METH_GET:
            self.settle(*key, missed=trace.fwd is not None)
        status = _status(trace.ttl, trace.fwd, trace.collapsed, detail, trace.stored)
        return self._response(request, requester, earlier, body, status, timing)

    def release(self, request: web.BaseRequest, requester: Requester) -> None:
        """Wake the followers of *request*, which is answered or has failed, unless `settle` has."""
        key = repeat_key(request, requester)
        if (leader := self._leaders.get(key)) is not None and leader.request is request:
            self.settle(*key, missed=True)

    def _hit(
        self, request: HasFields, requester: Requester, earlier: EarlierAnswer, entry: Entry, ttl: int, begun: float
    ) -> PrebuiltResponse:
        status = _status(ttl, None, False, entry.detail)
        return self._response(request, requester, earlier, entry.body, status, lookup_timing(begun))

    def _response(
        self,
        request: HasFields,
        requester: Requester,
        earlier: EarlierAnswer,
        body: bytes,
        status: str,
        timing: str,
    ) -> PrebuiltResponse:
        """Return 200 or 304 with *body*. *status* is `Cache-Status`, *timing* is `Server-Timing`."""
        sharing = self._sharing.lines(request, requester, earlier.lifetime)
        changing = f"{earlier.own}{sharing}Cache-Status: {status}\r\nServer-Timing: {timing}\r\n"
        if _is_unchanged(request, earlier):
            return PrebuiltResponse(304, earlier.heads.unchanged, changing, b"")
        assert isinstance(earlier.owner, int)  # placeholders are not kept
        named = f"{changing}Content-Disposition: {disposition(earlier.owner, earlier.heads.suffix)}\r\n"
        return PrebuiltResponse(200, earlier.heads.full, named, body)


def repeat_key(request: web.BaseRequest, requester: Requester) -> RepeatKey:
    """Return the key of *request*, which *requester* has sent."""
    return requester.target or kept_target(request.raw_path), field(request, hdrs.ACCEPT)


def _is_unchanged(request: HasFields, earlier: EarlierAnswer) -> bool:
    """Return whether the client's copy is valid."""
    fields = request.headers
    if hdrs.IF_NONE_MATCH not in fields and hdrs.IF_MODIFIED_SINCE not in fields:
        return False
    tags, date = field(request, hdrs.IF_NONE_MATCH), field(request, hdrs.IF_MODIFIED_SINCE)
    # Most clients send one tag, which the first comparison finds.
    return tags == earlier.etag or not_modified(earlier.etag, earlier.modified, tags, date)


def _weight(key: RepeatKey, earlier: EarlierAnswer) -> int:
    return len(key[0]) + len(earlier.own) + _OVERHEAD


@lru_cache(1024)
def _status(ttl: int | None, fwd: str | None, collapsed: bool, detail: str, stored: bool = False) -> str:
    """Return `Cache-Status` of an answer with the *detail* of its entry. The rest is as in `Trace`."""
    hit = fwd is None
    return str(CacheStatus(hit, ttl if hit else None, fwd, collapsed, stored, detail or None))


def lookup_timing(begun: float) -> str:
    """Return `Server-Timing` of a look into the caches that has *begun* at that `time.perf_counter`."""
    return f"cache;dur={(time.perf_counter() - begun) * 1000:.3f}"
