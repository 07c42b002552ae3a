"""Failed renders, each held against the picture or against one rendition of it, by the rendition's field in the cache.

- A picture that cannot be decoded is refused at once.
- A writer fails on a picture that was decoded, so its failure counts at once, and against the field.
- A render that ends its worker or outruns its time counts from the second time on. That, and too little memory, counts
  against the picture where the rendition is of a modest size, else against the field.
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
from service.imaging.failures import unwritable
from service.imaging.order import Blank, Order
from service.pictures.caching.tiers import Ticket
from service.pictures.failures import STRIKES, struck
from service.pictures.originals import Originals, jitter_of
from service.pictures.ports import Observer
from service.pictures.trace import Trace
from service.pictures.values import BLANK, Failure, Fault, Original, Owner

log = structlog.get_logger()

Blamed = Unrenderable | Unwritable | RenderTimedOut | RenderWorkerDied
BLAMED = Unrenderable, Unwritable, RenderTimedOut, RenderWorkerDied

_MODEST_STILL, _MODEST_ANIMATION = 1024, 256
"""Pixels of a side of the rendition. Larger ones make any picture slow, and must not get it refused to others."""


class Faults:
    """Faults are recorded with the *originals* for *lifetime* seconds, as judged by the settings of that *digest*.

    Those of placeholders, which have no original, are kept in this process.
    """

    def __init__(self, originals: Originals, observer: Observer, *, lifetime: float, digest: str) -> None:
        self._originals, self._observer = originals, observer
        self._lifetime, self._digest = lifetime, digest
        self.of_placeholders: tuple[Failure, ...] = ()

    def refusal(self, fault: Fault | None, *, as_stored: bool = False) -> Fault | None:
        """*fault*, if it stands in the way. Stored bytes go out unless they themselves are at fault."""
        if fault is None or (as_stored and not fault.permanent) or time.time() >= fault.until:
            return None
        return fault if fault.recipe in ("", self._digest) else None

    async def blame(
        self,
        original: Original,
        field: str,
        order: Order,
        error: Blamed,
        strikes: int,
        ticket: Ticket,
        trace: Trace,
    ) -> PictureError:
        """Hold a failed render against the picture, or against its *field*.

        Gives the error that the request ends with; *strikes* is how many there were when the render began.
        """
        now = await self._originals.recorded(original, trace)
        if isinstance(error, Unwritable) or not (_proves(error) or _modest(original, order)):
            failures, error = self._struck(now.failures, original.contact, field, order, error)
            await self._originals.charge(replace(now, failures=failures), ticket, trace)
            return error
        if self.refusal(now.fault):
            return error
        if not isinstance(error, Unrenderable):
            if now.strikes > strikes:
                return error  # another request has counted this already
            now = replace(now, strikes=now.strikes + 1)
            if now.strikes < STRIKES:
                await self._originals.charge(now, ticket, trace)
                return error
            error = Unrenderable(N_("The picture cannot be rendered: it has ended several render processes."))
        until = time.time() + self._lifetime * jitter_of(original.version)
        fault = Fault(error.message, tuple(error.values.items()), until, self._digest)
        await self._originals.charge(replace(now, fault=fault), ticket, trace)
        return error

    def blame_placeholder(self, field: str, blank: Blank, error: Blamed) -> PictureError:
        """Hold a failed drawing against the placeholder's *field*. Gives the error that the request ends with."""
        self.of_placeholders, error = self._struck(self.of_placeholders, BLANK, field, blank, error)
        return error

    def _struck(
        self, failures: tuple[Failure, ...], owner: Owner, field: str, work: Order | Blank, error: Blamed
    ) -> tuple[tuple[Failure, ...], Blamed]:
        """*failures* with one more, and the error that the request ends with.

        That is `Unwritable`, after which another format is tried, except where time ran out or the worker died.
        """
        if isinstance(error, Unrenderable):
            error = unwritable(work.format, f"{type(error).__name__}: {error}")
        at_once, now = isinstance(error, Unwritable), time.time()
        if at_once:
            self._observer.unwritable()
            log.warning("render.unwritable", owner=owner, field=field, cause=error.values.get("cause"))
        until = now + self._lifetime * jitter_of(field)
        return struck(failures, field, at_once=at_once, until=until, now=now), error


def _proves(error: Blamed) -> bool:
    """Whether the picture is at fault, whatever the size of the rendition."""
    return isinstance(error, Unrenderable) and not isinstance(error, OutOfMemory)


def _modest(original: Original, order: Order) -> bool:
    """Whether so little is asked that a render which dies or outruns its time is the picture's fault.

    A derived side counts too, where the picture's size is known: a narrow picture makes a small one long.
    """
    if not (order.width or order.height):
        return False
    moves = order.format.animated and original.format.animated
    sides = [order.width or 0, order.height or 0]
    if original.dimensions is not None:
        try:
            sides += order.plan(original.dimensions).size
        except BadParameter:
            return False  # by its header, nothing was to be made of it
    return max(sides) <= (_MODEST_ANIMATION if moves else _MODEST_STILL)
