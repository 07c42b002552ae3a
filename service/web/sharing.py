"""The header fields that depend on the requester or on the page that sends the request.

They say who may keep an answer, which pages may embed it, and which scripts may read it.
"""

from __future__ import annotations

from functools import lru_cache

from aiohttp import hdrs, web
from multidict import CIMultiDict

from service.access.identity import READER
from service.web.cors import Cors
from service.web.policy import CacheLifetime, cache_control
from service.web.request_values import HasFields
from service.web.requester import REFUSED_REQUESTER, REQUESTER, Requester

_EMBEDDED_BY = "Cross-Origin-Resource-Policy"


class SharingHeaders:
    """Adds these fields to every answer: to a prebuilt one as lines of text, to any other as header fields.

    *picture* is the lifetime in most prebuilt answers.
    """

    def __init__(self, picture: CacheLifetime, cors: Cors) -> None:
        self._picture, self._cors = picture, cors
        self._joined = lru_cache(256)(self._join)
        # By whether the answer is private. With listed origins the text depends on the request too.
        self._constant = (
            None
            if cors.listed
            else {private: self._text(Requester(READER, private), picture, None) for private in (False, True)}
        )

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the fields to *response*, as a receiver of the signal `on_response_prepare`."""
        self.add(response.headers, request, request.get(REQUESTER, REFUSED_REQUESTER))

    def add(self, headers: CIMultiDict[str], request: web.BaseRequest, requester: Requester | None) -> None:
        """Add the fields to *headers* of an answer to *request*.

        *requester* is None if the request is malformed or asks about no resource: then there is nothing to share.
        """
        private = None if requester is None else requester.private
        headers.update(self._fields(private, request.headers.get(hdrs.ORIGIN)))
        if requester is not None:
            self.add_vary(headers)

    def lines(self, request: HasFields, requester: Requester, lifetime: CacheLifetime) -> str:
        """Return the fields that complete a prebuilt answer to *request*, each as a line with its CRLF."""
        if lifetime is self._picture and self._constant is not None and requester.until is None:
            return self._constant[requester.private]
        return self._text(requester, lifetime, request.headers.get(hdrs.ORIGIN))

    def _text(self, requester: Requester, lifetime: CacheLifetime, origin: str | None) -> str:
        return f"Cache-Control: {cache_control(lifetime, requester)}\r\n{self._joined(requester.private, origin)}"

    def _join(self, private: bool, origin: str | None) -> str:
        return "".join(f"{name}: {value}\r\n" for name, value in self._fields(private, origin).items())

    def _fields(self, private: bool | None, origin: str | None) -> dict[str, str]:
        """Return the fields of every answer, whether it is prebuilt or not. *private* is None without a requester.

        A field that depends on another value needs another argument here, and `_constant` must then be None.
        """
        if private is None:
            return {}
        # A page of another site may embed only what every requester may see. Browsers send credentials along, and the
        # page could learn whether there is a picture.
        return {_EMBEDDED_BY: "same-site" if private else "cross-origin", **self._cors.fields(origin)}

    def add_vary(self, headers: CIMultiDict[str]) -> None:
        """Add to `Vary` what the fields of `lines` depend on."""
        if (varies := self._cors.vary(headers.get(hdrs.VARY))) is not None:
            headers[hdrs.VARY] = varies
