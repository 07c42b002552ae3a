"""Requests that repeat one in all that counts: a look-up in place of the whole way.

What is kept is a selection and its prebuilt headers, never a body: those stay within the memory cache's bounds, and a
selection counts only while the record that it stands on is the one in force.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web
from moka_py import Moka
from multidict import CIMultiDict

from service.pictures.contact_pictures import ContactPictures, Selection
from service.protocol.cache_status import CacheStatus
from service.protocol.conditionals import not_modified

_MAX_TEXT = 512
"""Characters of path, query and Accept together; longer ones are rare, and would make the index large."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """How a request was answered: what was selected, and the headers of its 200 and its 304, all but the trace."""

    selection: Selection
    full: CIMultiDict[str]
    unchanged: CIMultiDict[str]


class Repeats:
    """A bounded index by the request's target and `Accept`."""

    def __init__(self, pictures: ContactPictures, capacity: int = 2048) -> None:
        self._pictures = pictures
        self._index: Moka[tuple[str, str | None], Repeat] = Moka(capacity)

    def keep(self, target: str, accept: str | None, repeat: Repeat) -> None:
        """Remember how GET of *target* with *accept* was answered."""
        if len(target) + len(accept or "") <= _MAX_TEXT:
            self._index.set((target, accept), repeat)

    def answer(
        self, target: str, accept: str | None, if_none_match: str | None, if_modified_since: str | None
    ) -> web.Response | None:
        """The answer to GET of *target*, if it is known and all of it is in memory."""
        begun = time.perf_counter()
        repeat = self._index.get((target, accept))
        found = None if repeat is None else self._pictures.again(repeat.selection)
        if repeat is None or found is None:
            return None
        (entry, ttl), selection = found, repeat.selection
        conditional = if_none_match is not None or if_modified_since is not None
        if conditional and not_modified(selection.etag, selection.last_modified, if_none_match, if_modified_since):
            response = web.Response(status=304, headers=repeat.unchanged)
        else:
            response = web.Response(body=entry.body, headers=repeat.full)
        response.headers["Cache-Status"] = _hit(ttl, entry.detail)
        response.headers["Server-Timing"] = f"cache;dur={(time.perf_counter() - begun) * 1000:.3f}"
        return response


@lru_cache(1024)
def _hit(ttl: int, detail: str) -> str:
    return str(CacheStatus(hit=True, ttl=ttl, detail=detail or None))
