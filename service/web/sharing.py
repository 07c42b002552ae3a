"""What an answer says of whom it is for: who may keep it, which pages may embed it, whose scripts may read it."""

from __future__ import annotations

from aiohttp import hdrs, web
from multidict import CIMultiDict

from service.access.identity import READER
from service.web.cors import Cors
from service.web.headers import CacheLifetime, cache_control
from service.web.security import REFUSED_REQUESTER, REQUESTER, Requester

_EMBEDDED_BY = "Cross-Origin-Resource-Policy"


class SharingHeaders:
    """Told on every answer; *picture* is the lifetime of a repeat, which is always a picture's."""

    def __init__(self, picture: CacheLifetime, cors: Cors) -> None:
        self._picture, self._cors = picture, cors
        # By whether it is private; where no page gets lines of its own.
        self._same = (
            None if cors.listed else {each: self._lines(Requester(READER, each), None) for each in (False, True)}
        )

    async def tell(self, request: web.Request, response: web.StreamResponse) -> None:
        """Complete *response*: a signal's receiver, so that nothing leaves the application without."""
        response.headers[_EMBEDDED_BY] = _embedded_by(request.get(REQUESTER, REFUSED_REQUESTER))
        self._cors.add(response.headers, request.headers.get(hdrs.ORIGIN))

    def prebuilt(self, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        """*headers* of a picture without what `lines` adds, so that they are the same for everybody."""
        same = headers.copy()
        del same[hdrs.CACHE_CONTROL]
        if (varies := self._cors.vary(same.get(hdrs.VARY))) is not None:
            same[hdrs.VARY] = varies
        return same

    def lines(self, request: web.BaseRequest, requester: Requester) -> str:
        """The lines that the answer to *requester*'s *request* has beside prebuilt ones, each with its end."""
        if self._same is not None and requester.until is None:
            return self._same[requester.private]
        return self._lines(requester, request.headers.get(hdrs.ORIGIN))

    def _lines(self, requester: Requester, origin: str | None) -> str:
        kept = cache_control(self._picture, requester)
        return f"Cache-Control: {kept}\r\n{_EMBEDDED_BY}: {_embedded_by(requester)}\r\n{self._cors.lines(origin)}"


def _embedded_by(requester: Requester) -> str:
    """A page elsewhere may embed what everybody may see, and no more: browsers send along what they remember of their
    user, and the page would learn whether there is a picture."""
    return "same-site" if requester.private else "cross-origin"
