"""The text of `Cache-Status` (RFC 9211) and `Server-Timing`. This module does not know the caches."""

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
    """One member of `Cache-Status`. Raises ValueError for values that RFC 9211 forbids.

    `ttl` is in seconds, and below 0 for a stale response. `fwd` is the reason to forward the request, §2.2. `stored`
    and `collapsed` are written only when `fwd` is given.
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
    """Return the text of `Server-Timing`, e.g. `cache;dur=0.800, store;dur=2.500`, for *seconds* by metric.

    The names of metrics are tokens. Durations are milliseconds as decimals of RFC 8941 §3.3.2, with three digits after
    the point and no exponent.
    """
    return ", ".join(f"{name};dur={duration * 1000:.3f}" for name, duration in seconds.items())


def _item(text: str) -> str:
    """Return *text* as a token if it is one, otherwise as a string, RFC 8941 §3.3.3. `?` replaces other than ASCII."""
    if _SF_TOKEN.fullmatch(text):
        return text
    escaped = _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
