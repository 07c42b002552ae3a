"""Rules for faults and failures: which of them count, and how strikes add up. These functions are pure."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from service.errors import Unwritable
from service.formats import Format
from service.imaging.errors import unwritable
from service.pictures.values import MOST_FAILURES, Failure, Fault, Original

STRIKES = 2
"""Strikes after which an original, or one rendition of it, is refused."""


def active_fault(fault: Fault | None, digest: str, *, as_stored: bool = False) -> Fault | None:
    """Return *fault* if it counts now and under the recipe of that *digest*.

    For a picture *as_stored*, only a permanent fault counts.
    """
    if fault is None or (as_stored and not fault.permanent) or time.time() >= fault.until:
        return None
    return fault if fault.recipe in ("", digest) else None


def refused(failures: Iterable[Failure], now: float) -> list[Failure]:
    """Return the failures whose renditions are not tried at *now* (Unix seconds)."""
    return [each for each in failures if each.strikes >= STRIKES and now < each.until]


def refusal(failures: Iterable[Failure], field: str, kind: Format, now: float) -> Unwritable | None:
    """Return the error for the rendition in that *field* if it is not tried at *now*."""
    if all(each.field != field for each in refused(failures, now)):
        return None
    return unwritable(kind, "it has failed before")


def unexpired(failures: Iterable[Failure], now: float) -> tuple[Failure, ...]:
    """Return the failures that have not expired at *now*."""
    return tuple(each for each in failures if now < each.until)


def without_strikes(original: Original, field: str, extent: int) -> Original:
    """Return *original* without the strikes that a finished render of *field*, with that *extent*, disproves.

    These are the strikes of the same rendition, and those of renditions that are no larger.
    """
    failures = tuple(each for each in original.failures if each.field != field)
    if original.strikes and extent >= original.strike_extent:
        return replace(original, failures=failures, strikes=0, strike_extent=0)
    return original if failures == original.failures else replace(original, failures=failures)


def add_strikes(
    failures: Iterable[Failure], field: str, *, strikes: int, until: float, now: float
) -> tuple[Failure, ...]:
    """Return the unexpired *failures* with more *strikes* for *field*. That failure is the last one."""
    left = unexpired(failures, now)
    before = next((each for each in left if each.field == field), Failure(field, until, 0))
    latest = replace(before, until=until, strikes=min(before.strikes + strikes, STRIKES))
    return (*(each for each in left if each.field != field), latest)[-MOST_FAILURES:]
