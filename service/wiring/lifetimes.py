"""How long records and answers may be used, and how long requests wait for one another, by the settings."""

from __future__ import annotations

from dataclasses import replace

from service.pictures.lifetimes import RecordLifetimes
from service.settings import Settings
from service.web.policy import CacheLifetime, ResponseLifetimes

_ATTEMPTS = 2
"""Renders of a picture that may exceed the time limit before the picture is refused. A follower waits for both."""

_YEAR = 31_536_000
"""Seconds of the lifetime of what never changes, as is usual."""


def record_lifetimes(settings: Settings) -> RecordLifetimes:
    """Return how long records and renditions are used."""
    cache, http = settings.cache, settings.http
    return RecordLifetimes(
        fresh=cache.fresh_for,
        missing=cache.missing_for,
        unrenderable=cache.unrenderable_for,
        stale_while_revalidate=http.stale_while_revalidate,
        stale_if_error=http.stale_if_error,
        kept=cache.kept_for,
    )


def response_lifetimes(settings: Settings) -> ResponseLifetimes:
    """Return how long other caches may keep each kind of answer."""
    http = settings.http
    picture = CacheLifetime(http.max_age, http.s_maxage, http.stale_while_revalidate, http.stale_if_error)
    return ResponseLifetimes(
        picture=picture,
        version=CacheLifetime(_YEAR, immutable=True, private_max_age=http.max_age),
        other_version=replace(picture.within(int(settings.cache.fresh_for)), private_max_age=http.max_age),
        stale=CacheLifetime(http.stale_max_age, stale_if_error=http.stale_if_error),
        placeholder=CacheLifetime(http.placeholder_max_age),
        missing=CacheLifetime(http.missing_max_age),
    )


def max_wait(settings: Settings) -> float:
    """Return the seconds that a request waits for the render of another one, which may be the second attempt."""
    return _ATTEMPTS * settings.render.timeout + 1.0
