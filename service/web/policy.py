"""How pictures are answered: how long caches may keep each kind of answer, which formats are preferred, and limits."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import lru_cache

from service.formats import Format
from service.pictures.selection import Selection
from service.protocol.blob_entity import blob_id
from service.protocol.parameters import NO_PRESETS, Presets
from service.protocol.query import Query, parse_query
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
    immutable: bool = False
    private_max_age: int | None = None
    """`max-age` of answers that only the client's own cache may keep. None: the same."""
    longest: int = field(init=False)
    """Seconds until no cache may use the answer, not even as a stale one."""

    def __post_init__(self) -> None:
        fresh = max(self.max_age, self.s_maxage or 0)
        stale = max(self.stale_while_revalidate or 0, self.stale_if_error or 0)
        object.__setattr__(self, "longest", fresh + stale)

    def within(self, seconds: int) -> CacheLifetime:
        """Return this lifetime, shortened so that every directive ends within *seconds*. It is not immutable."""
        max_age, s_maxage = min(self.max_age, seconds), _least(self.s_maxage, seconds)
        beyond = seconds - max(max_age, s_maxage or 0)
        return CacheLifetime(
            max_age,
            s_maxage,
            _least(self.stale_while_revalidate, beyond),
            _least(self.stale_if_error, beyond),
            private_max_age=self.private_max_age,
        )


def _least(seconds: int | None, limit: int) -> int | None:
    return None if seconds is None else min(seconds, limit)


@dataclass(frozen=True, slots=True)
class ResponseLifetimes:
    """The lifetime of each kind of answer, the same for every picture.

    *picture* is that of a request without `v`. *version* is that of one whose `v` is the `BlobId` of the picture, and
    *other_version* that of one with another `v`, since the picture may be an older one.
    """

    picture: CacheLifetime
    version: CacheLifetime
    other_version: CacheLifetime
    stale: CacheLifetime
    placeholder: CacheLifetime
    missing: CacheLifetime

    def of(self, selection: Selection, version: str) -> CacheLifetime:
        """Return the lifetime of a fresh picture. *version* is the request's `v`, or empty."""
        if selection.placeholder is not None or not isinstance(selection.owner, int):
            return self.placeholder
        if not version:
            return self.picture
        return self.version if version == str(blob_id(selection.owner, selection.version)) else self.other_version


@dataclass(frozen=True, slots=True)
class ResponsePolicy:
    """The settings of answers with a picture.

    *preference* orders formats that `Accept` likes equally. *max_dimension* is the largest width or height in pixels.
    """

    lifetimes: ResponseLifetimes
    preference: tuple[Format, ...]
    max_dimension: int
    presets: Presets = NO_PRESETS

    def parse(self, query: str) -> Query:
        """Return the values of the raw *query* of a picture's URL. Raise `BadParameter`."""
        return parse_query(query, self.max_dimension, self.presets)


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
    left = None if requester.until is None else max(0, requester.until - math.ceil(time.time()))
    if requester.private:
        own = lifetime.max_age if lifetime.private_max_age is None else lifetime.private_max_age
        return f"private, max-age={own if left is None else min(own, left)}"
    return _public(lifetime, left if left is None else min(left, lifetime.longest))


@lru_cache(4096)
def _public(lifetime: CacheLifetime, left: int | None) -> str:
    """Return the directives of *lifetime*, shortened if it must end within *left* seconds."""
    if left is not None:
        lifetime = lifetime.within(left)
    directives = {
        "max-age": lifetime.max_age,
        "s-maxage": lifetime.s_maxage,
        "stale-while-revalidate": lifetime.stale_while_revalidate,
        "stale-if-error": lifetime.stale_if_error,
    }
    seconds = (f"{name}={value}" for name, value in directives.items() if value is not None)
    return ", ".join(("public", *seconds, *(("immutable",) if lifetime.immutable else ())))
