"""Which of the waiting orders begins next, so that no client keeps the renderer from the others.

This module does not know processes and the event loop.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from service.pictures.demand import Demand
from service.pictures.values import Owner

_OLDEST = 4
"""Orders that begin for each turn of the oldest one."""

_PART = 0.5
"""Part of its time to begin after which an order is due."""

Group = tuple[str | None, Owner | None]
"""Orders that share turns: those of one address, or, of clients without an address, those of one owner."""


def group_of(address: str | None, owner: Owner | None) -> Group:
    """Return the group of an order for a client at *address*, of an entry of *owner*."""
    return (None, owner) if address is None else (address, None)


class WaitingOrder:
    """An order for the clients of *demand* (None: unknown), of an entry of *owner*. It takes about *seconds*.

    It should begin within *limit* seconds.
    """

    def __init__(self, demand: Demand | None, owner: Owner | None, seconds: float, limit: float = math.inf) -> None:
        self.demand, self.owner, self.seconds = demand, owner, seconds
        self.due = time.monotonic() + _PART * limit
        """The monotonic seconds from which on cheaper orders of its group do not come before it any more."""

    @property
    def half_closed(self) -> bool:
        """Whether its clients may have left."""
        return self.demand is not None and self.demand.half_closed

    @property
    def groups(self) -> list[Group]:
        """The groups of its clients."""
        if self.demand is None:
            return [group_of(None, self.owner)]
        return [group_of(address, self.owner) for address in self.demand.addresses]


Queued = TypeVar("Queued", bound=WaitingOrder)


class FairQueue(Generic[Queued]):
    """The waiting orders, the oldest first.

    Addresses take turns, and so do the owners of the orders of one address; of an owner the cheapest order comes first.
    An order that is due comes before the others of its address.
    Once in `_OLDEST` turns the oldest order of all comes first. An order that several addresses share belongs to the
    one with the fewest orders.
    """

    def __init__(self) -> None:
        self._orders: list[Queued] = []
        self._count = 0
        self._begun_at: dict[Hashable, int] = {}  # the number of the last order of a group, or of a group's owner

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Queued]:
        return iter(self._orders)

    def add(self, order: Queued) -> None:
        """Add *order* as the newest one."""
        self._orders.append(order)

    def remove(self, order: Queued) -> None:
        """Remove *order*, which is in the queue."""
        self._orders.remove(order)

    def next(self) -> Queued:
        """Remove the order that begins next, and return it. The queue is not empty."""
        self._count += 1
        groups = self._groups()
        if self._count % _OLDEST:
            now = time.monotonic()
            chosen = min(range(len(groups)), key=lambda at: self._rank(self._orders[at], groups[at], now))
        else:
            chosen = 0
        order, group = self._orders.pop(chosen), groups.pop(chosen)
        self._begun_at[group] = self._begun_at[group, order.owner] = self._count
        # Groups that do not wait are forgotten, so that this table is not larger than the queue.
        present = {*groups, *((group, order.owner) for group, order in zip(groups, self._orders, strict=True))}
        self._begun_at = {key: at for key, at in self._begun_at.items() if key in present}
        return order

    def surplus(self) -> Queued:
        """Return the order that is refused first: the newest one of the group with the most. The queue is not empty."""
        groups = self._groups()
        counts = Counter(groups)
        return self._orders[max(range(len(groups)), key=lambda at: (counts[groups[at]], at))]

    def _groups(self) -> list[Group]:
        """Return the group that each order belongs to."""
        possible = [order.groups for order in self._orders]
        if max(map(len, possible), default=1) == 1:  # no order is shared
            return [group for (group,) in possible]
        counts = Counter(group for groups in possible for group in groups)
        return [min(groups, key=lambda group: (counts[group], self._begun_at.get(group, 0))) for groups in possible]

    def _rank(self, order: Queued, group: Group, now: float) -> tuple[int, bool, int, float]:
        begun_at = self._begun_at.get
        if now >= order.due:
            return begun_at(group, 0), False, 0, 0.0
        return begun_at(group, 0), True, begun_at((group, order.owner), 0), order.seconds
