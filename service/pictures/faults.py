"""Records failed renders, each against the original (a fault) or against one rendition of it (a failure).

- An original that cannot be decoded gets a fault at once.
- A writer fails on a picture that was decoded, so the rendition gets a failure at once.
- A render that exceeds its time is a strike, and so is each process that it ends: it is tried twice. Two strikes count.
  The renderer leaves out the processes that the host has probably killed, and those that hardly got a processor.
  Strikes, and a lack of memory, count against the original if the rendition is small. Otherwise they count against the
  rendition: a large one can exceed the limits with any original.
- A render that is finished removes the strikes of its own rendition, and those of renditions that are no larger.

The *extent* of a rendition is its longer side in pixels, or four times as much if it is animated.
"""

from __future__ import annotations

import math
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
from service.formats import Format
from service.imaging.errors import unwritable
from service.imaging.order import Order, Rendered
from service.pictures.caching.picture_cache import PutToken
from service.pictures.failures import STRIKES, active_fault, add_strikes, without_strikes
from service.pictures.lifetimes import jitter_of
from service.pictures.originals import Originals
from service.pictures.ports import Observer
from service.pictures.trace import Trace
from service.pictures.values import PLACEHOLDERS, Failure, Fault, Original, Owner

log = structlog.get_logger()

RecordedError = Unrenderable | Unwritable | RenderTimedOut | RenderWorkerDied
RECORDED_ERRORS = Unrenderable, Unwritable, RenderTimedOut, RenderWorkerDied
"""The errors of a render that are recorded."""

_SMALL = 1024
"""Pixels of the largest extent of a small rendition."""
_ANIMATED = 4
"""How many times the longer side of an animated rendition counts in its extent."""


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
        if not _strikes(error):
            return error
        now = await self._originals.current(original, trace)
        extent = _largest_extent(original, order)
        if isinstance(error, Unwritable) or not (_proves_fault(error) or extent <= _SMALL):
            failures, error = self._add_strikes(now.failures, original.contact, field, order.format, error)
            await self._originals.record_attempt(replace(now, failures=failures), token, trace)
            return error
        if active_fault(now.fault, self.digest):
            return error
        if not isinstance(error, Unrenderable):
            strikes = _strikes(error)
            if strikes < STRIKES and now.strikes > original.strikes:
                return error  # another request has recorded the same event
            largest = max(now.strike_extent, int(extent))
            now = replace(now, strikes=now.strikes + strikes, strike_extent=largest)
            if now.strikes < STRIKES:
                await self._originals.record_attempt(now, token, trace)
                return error
            error = Unrenderable(N_("The picture cannot be rendered: it has ended several render processes."))
        until = time.time() + self._lifetime * jitter_of(original.version)
        fault = Fault(error.message, tuple(error.values.items()), until, self.digest)
        await self._originals.record_attempt(replace(now, fault=fault), token, trace)
        return error

    async def record_success(
        self, original: Original, field: str, order: Order, rendered: Rendered, token: PutToken, trace: Trace
    ) -> None:
        """Remove the strikes that *rendered* disproves, the rendition of *order* in that *field*."""
        animated = _is_animated(original, order) and not rendered.first_frame
        extent = max(rendered.width, rendered.height) * (_ANIMATED if animated else 1)
        if without_strikes(original, field, extent) is original:
            return
        now = await self._originals.current(original, trace)
        if (cleared := without_strikes(now, field, extent)) is not now:
            await self._originals.record_attempt(cleared, token, trace)

    def record_placeholder(self, field: str, format: Format, error: RecordedError) -> PictureError:
        """Record that the placeholder in that *field* failed. Return the error that the request ends with."""
        self.placeholder_failures, error = self._add_strikes(
            self.placeholder_failures, PLACEHOLDERS, field, format, error
        )
        return error

    def _add_strikes(
        self,
        failures: tuple[Failure, ...],
        owner: Owner,
        field: str,
        format: Format,
        error: RecordedError,
    ) -> tuple[tuple[Failure, ...], RecordedError]:
        """Return *failures* with the strikes of *error*, and the error that the request ends with.

        A time-out or a dead process stays as it is. Every other error becomes `Unwritable`: another format is tried.
        """
        if isinstance(error, Unrenderable):
            error = unwritable(format, f"{type(error).__name__}: {error}")
        strikes, now = _strikes(error), time.time()
        if not strikes:
            return failures, error
        if isinstance(error, Unwritable):
            self._observer.unwritable()
            log.warning("render.unwritable", owner=owner, field=field, cause=error.values.get("cause"))
        until = now + self._lifetime * jitter_of(field)
        return add_strikes(failures, field, strikes=strikes, until=until, now=now), error


def _proves_fault(error: RecordedError) -> bool:
    """Return whether *error* shows a fault of the original, at any size of the rendition."""
    return isinstance(error, Unrenderable) and not isinstance(error, OutOfMemory)


def _strikes(error: RecordedError) -> int:
    """Return the strikes of one render that fails with *error*. The error of a writer counts at once."""
    if isinstance(error, RenderTimedOut | RenderWorkerDied):
        return error.strikes
    return STRIKES if isinstance(error, Unwritable) else 1


def _largest_extent(original: Original, order: Order) -> float:
    """Return the extent that the rendition has at most; infinity if *order* does not bound it.

    A side that is derived from the original's proportions counts too, if its dimensions are known. Every sound original
    can be rendered to a small extent within the limits.
    """
    if not (order.width or order.height):
        return math.inf
    sides = [order.width or 0, order.height or 0]
    if original.dimensions is not None:
        try:
            sides += order.plan(original.dimensions).size
        except BadParameter:
            return math.inf  # no format can hold this size
    return max(sides) * (_ANIMATED if _is_animated(original, order) else 1)


def _is_animated(original: Original, order: Order) -> bool:
    return order.format.animated and original.format.animated
