"""What our caches did for a response, as header text: RFC 9211 and Server-Timing. Knows no cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = "contact-image"
_FORWARDS = frozenset({"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"})
_SF_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_UNPRINTABLE = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """One member of `Cache-Status`; `ttl` in seconds, below 0 when stale. Raises ValueError on what RFC 9211 forbids.

    `fwd` says why the request went on to the store, §2.2; `stored` and `collapsed` are told of such a request alone.
    """

    hit: bool = False
    ttl: int | None = None
    fwd: str | None = None
    collapsed: bool = False
    stored: bool = False
    detail: str | None = None

    def __post_init__(self) -> None:
        if self.fwd is not None and self.fwd not in _FORWARDS:
            raise ValueError(f"no reason to forward in RFC 9211 §2.2: {self.fwd!r}")
        if self.hit and self.fwd is not None:
            raise ValueError("a hit is not forwarded, RFC 9211 §2.1")

    def __str__(self) -> str:
        parts = [_NAME]
        if self.hit:
            parts.append("hit")
        if self.fwd is not None:
            parts.append(f"fwd={self.fwd}")
        if self.ttl is not None:
            parts.append(f"ttl={self.ttl}")
        if self.stored and self.fwd is not None:
            parts.append("stored")
        if self.collapsed and self.fwd is not None:
            parts.append("collapsed")
        if self.detail is not None:
            parts.append(f"detail={_item(self.detail)}")
        return "; ".join(parts)


def server_timing(seconds: Mapping[str, float]) -> str:
    """`Server-Timing` text, `cache;dur=0.800, store;dur=2.500`, for *seconds* by metric, whose names are tokens.

    Durations are told in milliseconds, as decimals of RFC 8941 §3.3.2: three digits after the point, no exponent.
    """
    return ", ".join(f"{name};dur={duration * 1000:.3f}" for name, duration in seconds.items())


def _item(text: str) -> str:
    """*text* as a token where it is one, else as a string, RFC 8941 §3.3.3; what is not ASCII becomes `?`."""
    if _SF_TOKEN.fullmatch(text):
        return text
    escaped = _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
