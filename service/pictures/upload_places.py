"""The places of uploads in one process, and their division among clients. This module does not know pictures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Hashable, Iterator
from contextlib import contextmanager

from service.errors import N_, Overloaded

_TOO_MANY = N_("Too many pictures are being stored. Try again soon.")


class UploadPlace:
    """The place of an upload of *client*."""

    def __init__(self, client: Hashable) -> None:
        self.client = client
        self._limit: asyncio.Timeout | None = None

    @property
    def receiving(self) -> bool:
        """Whether the body is being received. Only then the place can be withdrawn."""
        return self._limit is not None

    async def receive(self, body: Awaitable[None]) -> None:
        """Await *body*. Raise `Overloaded` if the place is withdrawn meanwhile."""
        try:
            async with asyncio.timeout(None) as self._limit:
                await body
        except TimeoutError:
            raise Overloaded(_TOO_MANY) from None
        finally:
            self._limit = None

    def withdraw(self) -> None:
        """Receive no more of the body."""
        assert self._limit is not None
        self._limit.reschedule(asyncio.get_running_loop().time())


class UploadPlaces:
    """At most *count* uploads at once.

    If all places are taken, the client with the most uploads loses the newest one that is still being received to a
    client that then has fewer. So slow uploads of one client do not keep out others.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken: list[UploadPlace] = []  # the oldest first

    @contextmanager
    def taken(self, client: Hashable) -> Iterator[UploadPlace]:
        """Take a place for *client*. Raise `Overloaded` if there is none."""
        if len(self._taken) >= self._count:
            self._withdraw_for(client)
        place = UploadPlace(client)
        self._taken.append(place)
        try:
            yield place
        finally:
            if place in self._taken:  # otherwise it was withdrawn
                self._taken.remove(place)

    def _withdraw_for(self, client: Hashable) -> None:
        counts = Counter(place.client for place in self._taken)
        received = [place for place in reversed(self._taken) if place.receiving]
        surplus = max(received, key=lambda place: counts[place.client], default=None)
        if surplus is None or counts[client] + 1 >= counts[surplus.client]:
            raise Overloaded(_TOO_MANY)
        self._taken.remove(surplus)
        surplus.withdraw()
