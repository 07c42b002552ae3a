"""Renditions that cannot be made of a sound picture, and the strikes against each. Pure: knows no cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from service.errors import Unwritable
from service.formats import Format
from service.imaging.failures import unwritable
from service.pictures.values import Failure

STRIKES = 2
"""Renders that may die or outrun their time before a picture, or one rendition of it, is refused."""
_MOST = 64
"""Failures of one picture that are kept: its record stays below 8 KiB. One more removes the oldest."""


def standing(failures: Iterable[Failure], now: float) -> list[Failure]:
    """Those whose renditions are not tried at *now* (Unix seconds)."""
    return [each for each in failures if each.strikes >= STRIKES and now < each.until]


def failed_before(failures: Iterable[Failure], field: str, kind: Format, now: float) -> Unwritable | None:
    """The error for the rendition in that *field*, of that *kind*, where it is not tried at *now*."""
    if all(each.field != field for each in standing(failures, now)):
        return None
    return unwritable(kind, "it has failed before")


def lasting(failures: Iterable[Failure], now: float) -> tuple[Failure, ...]:
    """Those that have not expired at *now*."""
    return tuple(each for each in failures if now < each.until)


def struck(failures: Iterable[Failure], field: str, *, at_once: bool, until: float, now: float) -> tuple[Failure, ...]:
    """*failures* with one more strike for *field*, or with `STRIKES` of them *at_once*. That failure stands last."""
    left = lasting(failures, now)
    before = next((each for each in left if each.field == field), Failure(field, until, 0))
    latest = replace(before, until=until, strikes=STRIKES if at_once else before.strikes + 1)
    return (*(each for each in left if each.field != field), latest)[-_MOST:]
