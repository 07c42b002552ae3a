"""Records failed renders, each against the original (a fault) or against one rendition of it (a failure).

- An original that cannot be decoded gets a fault at once.
- A writer fails on a picture that was decoded, so the rendition gets a failure at once.
- A render that ends its process or exceeds its time is a strike, and two strikes count. Strikes, and a lack of memory,
  count against the original if the rendition is small. Otherwise they count against the rendition: a large one can
  exceed the limits with any original.
"""

from __future__ import annotations

import time
from dataclasses import replace

import structlog

from service.errors import (
    N_,
    BadParameter,
    OutOfMemory,
    PictureError,
    RenderTimedOut,
    RenderWorkerDied,
    Unrenderable,
    Unwritable,
)
from service.imaging.errors import unwritable
from service.imaging.order import Order, Placeholder
from service.pictures.caching.picture_cache import PutToken
from service.pictures.failures import STRIKES, active_fault, add_strike
from service.pictures.lifetimes import jitter_of
from service.pictures.originals import Originals
from service.pictures.ports import Observer
from service.pictures.trace import Trace
from service.pictures.values import PLACEHOLDERS, Failure, Fault, Original, Owner

log = structlog.get_logger()

RecordedError = Unrenderable | Unwritable | RenderTimedOut | RenderWorkerDied
RECORDED_ERRORS = Unrenderable, Unwritable, RenderTimedOut, RenderWorkerDied
"""The errors of a render that are recorded."""

_SMALL_STILL = 1024
"""Pixels of the longer side of a small rendition."""
_SMALL_ANIMATION = 256
"""Pixels of the longer side of a small animated rendition."""


class FaultRecorder:
    """Records faults with the *originals* for *lifetime* seconds, under the recipe of that *digest*.

    `placeholder_failures` are the failures of placeholders. They have no original, so each process keeps its own.
    """

    def __init__(self, originals: Originals, observer: Observer, *, lifetime: float, digest: str) -> None:
        self._originals, self._observer = originals, observer
        self._lifetime, self.digest = lifetime, digest
        self.placeholder_failures: tuple[Failure, ...] = ()

    async def record(
        self, original: Original, field: str, order: Order, error: RecordedError, token: PutToken, trace: Trace
    ) -> PictureError:
        """Record that *order* failed, for the rendition in that *field*. Return the error that the request ends with.

        *original* has the strikes from the beginning of the render.
        """
        now = await self._originals.current(original, trace)
        if isinstance(error, Unwritable) or not (_proves_fault(error) or _is_small(original, order)):
            failures, error = self._add_strike(now.failures, original.contact, field, order, error)
            await self._originals.record_attempt(replace(now, failures=failures), token, trace)
            return error
        if active_fault(now.fault, self.digest):
            return error
        if not isinstance(error, Unrenderable):
            if now.strikes > original.strikes:
                return error  # another request has recorded the same event
            now = replace(now, strikes=now.strikes + 1)
            if now.strikes < STRIKES:
                await self._originals.record_attempt(now, token, trace)
                return error
            error = Unrenderable(N_("The picture cannot be rendered: it has ended several render processes."))
        until = time.time() + self._lifetime * jitter_of(original.version)
        fault = Fault(error.message, tuple(error.values.items()), until, self.digest)
        await self._originals.record_attempt(replace(now, fault=fault), token, trace)
        return error

    def record_placeholder(self, field: str, placeholder: Placeholder, error: RecordedError) -> PictureError:
        """Record that the placeholder in that *field* failed. Return the error that the request ends with."""
        self.placeholder_failures, error = self._add_strike(
            self.placeholder_failures, PLACEHOLDERS, field, placeholder, error
        )
        return error

    def _add_strike(
        self, failures: tuple[Failure, ...], owner: Owner, field: str, work: Order | Placeholder, error: RecordedError
    ) -> tuple[tuple[Failure, ...], RecordedError]:
        """Return *failures* with one more strike, and the error that the request ends with.

        A time-out or a dead process stays as it is. Every other error becomes `Unwritable`: another format is tried.
        """
        if isinstance(error, Unrenderable):
            error = unwritable(work.format, f"{type(error).__name__}: {error}")
        at_once, now = isinstance(error, Unwritable), time.time()
        if at_once:
            self._observer.unwritable()
            log.warning("render.unwritable", owner=owner, field=field, cause=error.values.get("cause"))
        until = now + self._lifetime * jitter_of(field)
        return add_strike(failures, field, at_once=at_once, until=until, now=now), error


def _proves_fault(error: RecordedError) -> bool:
    """Return whether *error* shows a fault of the original, at any size of the rendition."""
    return isinstance(error, Unrenderable) and not isinstance(error, OutOfMemory)


def _is_small(original: Original, order: Order) -> bool:
    """Return whether the rendition is so small that every sound original can be rendered to it within the limits.

    A side that is derived from the original's proportions counts too, if its dimensions are known.
    """
    if not (order.width or order.height):
        return False
    animated = order.format.animated and original.format.animated
    sides = [order.width or 0, order.height or 0]
    if original.dimensions is not None:
        try:
            sides += order.plan(original.dimensions).size
        except BadParameter:
            return False  # no format can hold this size
    return max(sides) <= (_SMALL_ANIMATION if animated else _SMALL_STILL)
