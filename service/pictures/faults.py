"""What is held against a picture: a corrupt one at once, a deadly one the second time."""

from __future__ import annotations

import time
from dataclasses import replace

from service.errors import N_, RenderTimedOut, RenderWorkerDied, Unrenderable
from service.imaging.order import Blank, Order
from service.pictures.originals import Originals, jitter_of
from service.pictures.tiers import Ticket
from service.pictures.trace import Trace
from service.pictures.values import Fault, Original

Blamed = Unrenderable | RenderTimedOut | RenderWorkerDied
BLAMED = Unrenderable, RenderTimedOut, RenderWorkerDied

_MODEST_STILL, _MODEST_ANIMATION = 1024, 256
"""Pixels of a side; whoever asks for more can make any picture slow, and must not get it refused to others."""
_STRIKES = 2
"""Workers that a picture may end before it is refused."""


class Faults:
    """Faults are recorded with the *originals* for *lifetime* seconds, as judged by the settings of that *digest*."""

    def __init__(self, originals: Originals, *, lifetime: float, digest: str) -> None:
        self._originals, self._lifetime, self._digest = originals, lifetime, digest

    def refusal(self, fault: Fault | None, *, as_stored: bool = False) -> Fault | None:
        """*fault*, if it stands in the way. Stored bytes go out unless they themselves are at fault."""
        if fault is None or (as_stored and not fault.permanent) or time.time() >= fault.until:
            return None
        return fault if fault.recipe in ("", self._digest) else None

    async def blame(
        self, original: Original, order: Order | Blank | None, error: Blamed, strikes: int, ticket: Ticket, trace: Trace
    ) -> Blamed:
        """Hold a failed render against the picture.

        Gives the error that the request ends with; *strikes* is how many there were when the render began.
        """
        now = await self._originals.recorded(original, trace)
        if self.refusal(now.fault):
            return error
        if not isinstance(error, Unrenderable):
            if not _modest(original, order) or now.strikes > strikes:
                return error  # what was asked for is to blame, or another request's strike already tells of this
            now = replace(now, strikes=now.strikes + 1)
            if now.strikes < _STRIKES:
                await self._originals.charge(now, ticket)
                return error
            error = Unrenderable(N_("The picture cannot be rendered: it has ended several render processes."))
        until = time.time() + self._lifetime * jitter_of(original.version)
        fault = Fault(error.message, tuple(error.values.items()), until, self._digest)
        await self._originals.charge(replace(now, fault=fault), ticket)
        return error


def _modest(original: Original, order: Order | Blank | None) -> bool:
    """Whether so little is asked that a render which dies or outruns its time is the picture's fault."""
    if not isinstance(order, Order) or not (order.width or order.height):
        return False
    moves = order.format.animated and original.format.animated
    return max(order.width or 0, order.height or 0) <= (_MODEST_ANIMATION if moves else _MODEST_STILL)
