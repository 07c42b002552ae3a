"""The places in which credentials are verified: a few for every client address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from service.access.ports import CROWDED
from service.errors import VerificationUnavailable

_PLACES = 4
"""Verifications of one address at once."""
_WAIT = 10.0
"""Seconds to wait for a place."""


class Place:
    """A place that a verification has taken. With `held` it stays taken for a while after the verification."""

    held = False


class Places:
    """Places for verifications, by address. A place that is held is free *hold* seconds after its verification.

    They bound the guesses that are verified before the first of them is counted. A verification without a result is no
    attempt, and its place is held: otherwise credentials on which the verifier's server fails would cost that server
    any number of requests.
    """

    def __init__(self, hold: float = 5.0) -> None:
        self._hold = hold
        self._of: WeakValueDictionary[Hashable, _OfAddress] = WeakValueDictionary()  # while in use

    @asynccontextmanager
    async def taken(self, address: Hashable) -> AsyncIterator[Place]:
        """Take a place of *address* for the block. Raise `VerificationUnavailable` when none becomes free in time."""
        places = self._of.get(address)
        if places is None:
            places = self._of[address] = _OfAddress()
        await places.acquire()
        place = Place()
        try:
            yield place
        finally:
            places.release(self._hold if place.held else 0.0)


class _OfAddress:
    """The places of one address."""

    def __init__(self) -> None:
        self._free, self._held = asyncio.Semaphore(_PLACES), 0

    async def acquire(self) -> None:
        """Take a place. If all are held after verifications without a result, no request waits."""
        if self._held == _PLACES:
            raise VerificationUnavailable(CROWDED)
        try:
            async with asyncio.timeout(_WAIT):
                await self._free.acquire()
        except TimeoutError:
            raise VerificationUnavailable(CROWDED) from None

    def release(self, seconds: float) -> None:
        """Free a place in *seconds*."""
        if seconds:
            self._held += 1
            asyncio.get_running_loop().call_later(seconds, self._end_hold)
        else:
            self._free.release()

    def _end_hold(self) -> None:
        self._held -= 1
        self._free.release()
