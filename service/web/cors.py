"""Pages of other origins: what their scripts may read, by the Fetch standard's CORS protocol."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from aiohttp import hdrs, web

from service.access.schemes import CREDENTIAL_FIELDS
from service.protocol.origins import parse_origin

_ANYONE = "*"
_EXPOSED = (
    "Accept-Ranges, Allow, Cache-Status, Content-Disposition, Content-Language, Content-Range, ETag, Retry-After, "
    "Server-Timing, WWW-Authenticate"
)
_ACCEPTED = (
    "Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, "
    "SO-Culture, SO-Language, SO-TimeZone"
)
_CREDENTIALS = ", ".join(CREDENTIAL_FIELDS)
"""Fields that pages of listed origins may send besides; with `*` none may, or any page had its visitors guess."""
_MAX_AGE = "7200"
"""Seconds for which a preflight's answer is good; Chromium believes none for longer."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The fields of an answer that a page may read, and the same as header lines, each with its end."""

    fields: Mapping[str, str]
    lines: str


class Cors:
    """Answers for pages of *origins*: of none, of all (`*`), or of those listed, which may send credentials along.

    *headers* are names of fields that pages of either may send besides those that are read here.
    """

    def __init__(self, origins: Sequence[str], headers: Sequence[str] = ()) -> None:
        anyone = _ANYONE in origins
        self._accepted = ", ".join((_ACCEPTED, *headers))
        self._listed = {} if anyone else {each: _answer(each) for each in map(parse_origin, origins) if each}
        self._others = _answer(_ANYONE) if anyone else _Answer({}, "")

    @property
    def listed(self) -> bool:
        """Whether there is a list, so that answers to different pages differ."""
        return bool(self._listed)

    def trusts(self, origin: str | None) -> bool:
        """Whether *origin*, as the one `Origin` field has it, is listed. That everybody may read is no trust."""
        return self._found(origin) is not None

    def fields(self, origin: str | None) -> Mapping[str, str]:
        """What every answer to a page of *origin* says."""
        return (self._found(origin) or self._others).fields

    def lines(self, origin: str | None) -> str:
        """The same as header lines, each with its end."""
        return (self._found(origin) or self._others).lines

    def vary(self, varies: str | None) -> str | None:
        """*varies*, the names in `Vary`, with `Origin` where a list makes answers differ."""
        if not self._listed or (varies is not None and hdrs.ORIGIN in varies.split(", ")):
            return varies
        return f"{varies}, {hdrs.ORIGIN}" if varies else hdrs.ORIGIN

    def add(self, headers: MutableMapping[str, str], origin: str | None) -> None:
        """Let *headers* of an answer to a page of *origin* say all of it."""
        headers.update(self.fields(origin))
        if (varies := self.vary(headers.get(hdrs.VARY))) is not None:
            headers[hdrs.VARY] = varies

    def preflight(self, requested: Mapping[str, str], allowed: str) -> Mapping[str, str]:
        """What the answer to OPTIONS says besides, *allowed* being the resource's methods; nothing to who may not ask.

        A browser asks before it lets a page send what no form could; it sends no credentials then.
        """
        if hdrs.ACCESS_CONTROL_REQUEST_METHOD not in requested or not self.fields(requested.get(hdrs.ORIGIN)):
            return {}
        return {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: allowed,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: f"{self._accepted}, {_CREDENTIALS}" if self._listed else self._accepted,
            hdrs.ACCESS_CONTROL_MAX_AGE: _MAX_AGE,
        }

    def _found(self, origin: str | None) -> _Answer | None:
        if origin is None or not self._listed:
            return None
        return self._listed.get(origin) or self._listed.get(parse_origin(origin) or "")


CORS = web.AppKey("cors", Cors)


def _answer(origin: str) -> _Answer:
    fields: dict[str, str] = {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: _EXPOSED,
        "Timing-Allow-Origin": origin,
    }
    if origin != _ANYONE:
        fields[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
    return _Answer(MappingProxyType(fields), "".join(f"{name}: {value}\r\n" for name, value in fields.items()))
