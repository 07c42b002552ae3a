"""Renditions that cannot be had though the picture is sound, and how often each was tried. Pure: knows no cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from service.pictures.values import Failure

STRIKES = 2
"""Renders that may die or outrun their time before a picture, or one rendition of it, is refused."""
_MOST = 64
"""Of one picture, so that its record stays below 8 KiB. Each costs a render; past it the oldest one is tried anew."""


def standing(failures: Iterable[Failure], now: float) -> list[Failure]:
    """Those that stand in the way at *now* (Unix seconds)."""
    return [each for each in failures if each.strikes >= STRIKES and now < each.until]


def lasting(failures: Iterable[Failure], now: float) -> tuple[Failure, ...]:
    """Those that are not over at *now*."""
    return tuple(each for each in failures if now < each.until)


def struck(failures: Iterable[Failure], field: str, *, at_once: bool, until: float, now: float) -> tuple[Failure, ...]:
    """*failures* and one more strike for *field*, or as many as it takes *at_once*. The latest one stands last."""
    left = lasting(failures, now)
    before = next((each for each in left if each.field == field), Failure(field, until, 0))
    latest = replace(before, until=until, strikes=STRIKES if at_once else before.strikes + 1)
    return (*(each for each in left if each.field != field), latest)[-_MOST:]
