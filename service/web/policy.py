"""How pictures are answered: how long caches may keep each kind of answer, which formats are preferred, and limits."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import lru_cache

from service.formats import Format
from service.web.requester import Requester

NO_STORE = "no-store"
"""The value of `Cache-Control` in an answer that no cache may keep."""


@dataclass(frozen=True, slots=True)
class CacheLifetime:
    """How long caches may keep one kind of answer.

    The values are the seconds of the directives of `Cache-Control` that have these names; None omits a directive.
    """

    max_age: int
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    longest: int = field(init=False)
    """Seconds until no cache may use the answer, not even as a stale one."""

    def __post_init__(self) -> None:
        fresh = max(self.max_age, self.s_maxage or 0)
        stale = max(self.stale_while_revalidate or 0, self.stale_if_error or 0)
        object.__setattr__(self, "longest", fresh + stale)


@dataclass(frozen=True, slots=True)
class ResponseLifetimes:
    """The lifetime of each kind of answer, the same for every picture."""

    picture: CacheLifetime
    stale: CacheLifetime
    placeholder: CacheLifetime
    missing: CacheLifetime


@dataclass(frozen=True, slots=True)
class ResponsePolicy:
    """The settings of answers with a picture.

    *preference* orders formats that `Accept` likes equally. *max_dimension* is the largest width or height in pixels.
    """

    lifetimes: ResponseLifetimes
    preference: tuple[Format, ...]
    max_dimension: int


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits on an upload."""

    max_bytes: int
    timeout: float
    """Seconds for one piece of the body."""


def cache_control(lifetime: CacheLifetime, requester: Requester) -> str:
    """Return the value of `Cache-Control` in an answer to *requester* that may be kept for *lifetime*.

    No shared cache may keep a private answer. No cache may keep an answer after the requester's access ends.
    """
    left = lifetime.longest
    if requester.until is not None:
        left = min(left, max(0, requester.until - math.ceil(time.time())))
    return f"private, max-age={min(lifetime.max_age, left)}" if requester.private else _public(lifetime, left)


@lru_cache(4096)
def _public(lifetime: CacheLifetime, left: int) -> str:
    """Return the directives of *lifetime*, shortened so that every one of them ends within *left* seconds."""
    max_age, s_maxage = (None if each is None else min(each, left) for each in (lifetime.max_age, lifetime.s_maxage))
    beyond = left - max(max_age or 0, s_maxage or 0)
    stale = (lifetime.stale_while_revalidate, lifetime.stale_if_error)
    stale_while_revalidate, stale_if_error = (None if each is None else min(each, beyond) for each in stale)
    directives = {
        "max-age": max_age,
        "s-maxage": s_maxage,
        "stale-while-revalidate": stale_while_revalidate,
        "stale-if-error": stale_if_error,
    }
    return ", ".join(("public", *(f"{name}={seconds}" for name, seconds in directives.items() if seconds is not None)))
