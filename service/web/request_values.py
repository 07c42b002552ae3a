"""The methods, the conditions and the types of handlers, and the values that several modules read from a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage

from service.protocol.languages import Languages
from service.protocol.query import parse_contact_id

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PURGE", "OPTIONS")
"""The methods that the service implements, as `Allow` lists them."""
CONDITIONS = frozenset((hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.RANGE))
"""Fields of requests that may be answered without the whole picture."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""A handler of the router."""
ServerHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""The handler of a `web.Server`, below the router."""
HasFields = web.BaseRequest | RawRequestMessage
"""What has the header fields of a request: the request, or the message that it is made of."""

_MAX_FIELD = 16_384
"""Characters of the longest header field that is used."""


def field(request: HasFields, name: str) -> str | None:
    """Return the value of the header field *name*, its lines joined by commas (RFC 9110 section 5.3).

    Return None if the field is absent or longer than `_MAX_FIELD`.
    """
    values = request.headers.getall(name, None)
    if values is None:
        return None
    text = values[0] if len(values) == 1 else ", ".join(values)
    return text if len(text) <= _MAX_FIELD else None


def contact_id(request: web.Request) -> int:
    """Return the contact in the path. Raise `BadParameter` if it is not a 32-bit integer."""
    return parse_contact_id(request.match_info["contact"])


def language(request: web.Request, languages: Languages) -> str:
    """Return the language of the words in the answer."""
    return languages.choose(field(request, "SO-Language"), field(request, "Accept-Language"))


def culture(request: web.Request, languages: Languages) -> str | None:
    """Return the culture by which numbers in the answer are grouped."""
    return languages.culture(
        field(request, "SO-Culture"), field(request, "SO-Language"), field(request, "Accept-Language")
    )
