"""The CORS protocol of the Fetch standard: which answers scripts of other origins may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from aiohttp import hdrs

from service.access.schemes import CREDENTIAL_FIELDS
from service.protocol.origins import parse_origin

_ANY_ORIGIN = "*"
_EXPOSED = (
    "Accept-Ranges, Allow, Cache-Status, Content-Disposition, Content-Language, Content-Range, ETag, Retry-After, "
    "Server-Timing, WWW-Authenticate, X-Request-ID"
)
_ACCEPTED = (
    "Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, "
    "SO-Culture, SO-Language, SO-TimeZone"
)
_CREDENTIALS = ", ".join(CREDENTIAL_FIELDS)
"""Fields that only pages of listed origins may send. With `*`, any page could let its visitors' browsers guess them."""
_MAX_AGE = "7200"
"""Seconds that browsers may cache a preflight's answer. Chromium caches none for longer."""


class Cors:
    """The CORS header fields for pages of *origins*: none, all (`*`), or a list, which may send credentials.

    *headers* are names of fields that pages may send in addition to those that the service reads.
    """

    def __init__(self, origins: Sequence[str], headers: Sequence[str] = ()) -> None:
        any_origin = _ANY_ORIGIN in origins
        self._accepted = ", ".join((_ACCEPTED, *headers))
        self._listed = {} if any_origin else {each: _fields(each) for each in map(parse_origin, origins) if each}
        self._others = _fields(_ANY_ORIGIN) if any_origin else {}

    @property
    def listed(self) -> bool:
        """Whether origins are listed, so that answers depend on the page's origin."""
        return bool(self._listed)

    def trusts(self, origin: str | None) -> bool:
        """Return whether *origin*, the value of the only `Origin` field, is listed. `*` lists no origin."""
        return self._listed_fields(origin) is not None

    def fields(self, origin: str | None) -> Mapping[str, str]:
        """Return the header fields of every answer to a page of *origin*."""
        return self._listed_fields(origin) or self._others

    def vary(self, varies: str | None) -> str | None:
        """Return *varies*, the value of `Vary`, with `Origin` added if origins are listed."""
        if not self._listed or (varies is not None and hdrs.ORIGIN in varies.split(", ")):
            return varies
        return f"{varies}, {hdrs.ORIGIN}" if varies else hdrs.ORIGIN

    def preflight(self, requested: Mapping[str, str], allowed: str) -> Mapping[str, str]:
        """Return the additional fields of the answer to a preflight; none for a page that may read nothing.

        *requested* are the header fields of the preflight, *allowed* the methods of the resource. Browsers send
        preflights without credentials.
        """
        if hdrs.ACCESS_CONTROL_REQUEST_METHOD not in requested or not self.fields(requested.get(hdrs.ORIGIN)):
            return {}
        return {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: allowed,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: f"{self._accepted}, {_CREDENTIALS}" if self._listed else self._accepted,
            hdrs.ACCESS_CONTROL_MAX_AGE: _MAX_AGE,
        }

    def _listed_fields(self, origin: str | None) -> Mapping[str, str] | None:
        if origin is None or not self._listed:
            return None
        return self._listed.get(origin) or self._listed.get(parse_origin(origin) or "")


def _fields(origin: str) -> Mapping[str, str]:
    fields: dict[str, str] = {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: _EXPOSED,
        "Timing-Allow-Origin": origin,
    }
    if origin != _ANY_ORIGIN:
        fields[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
    return MappingProxyType(fields)
