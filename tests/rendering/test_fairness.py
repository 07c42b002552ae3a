"""The order in which waiting orders begin, over plain lists of them."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass

from service.pictures.demand import Demand
from service.rendering.fairness import FairQueue, WaitingOrder


@dataclass(eq=False)
class From:
    """A client at an address."""

    address: str | None
    half_closed: bool = False

    @property
    def addresses(self) -> frozenset[str | None]:
        return frozenset((self.address,))


class Order(WaitingOrder):
    """An order of clients that do not leave, at *addresses*."""

    def __init__(
        self, name: str, *addresses: str | None, owner: int = 1, seconds: float = 1.0, limit: float = math.inf
    ) -> None:
        super().__init__(Demand(lambda: None), owner, seconds, limit)
        self.name, self._stack = name, ExitStack()
        for address in addresses:
            assert self.demand is not None
            self._stack.enter_context(self.demand.joined(From(address)))


def queued(*orders: Order) -> FairQueue[Order]:
    queue: FairQueue[Order] = FairQueue()
    for each in orders:
        queue.add(each)
    return queue


def begun(queue: FairQueue[Order], count: int | None = None) -> str:
    """Return the names of the next *count* orders, or of all."""
    return "".join(queue.next().name for _ in range(len(queue) if count is None else count))


def test_addresses_take_turns() -> None:
    queue = queued(*(Order("a", "1") for _ in range(6)), *(Order("b", "2") for _ in range(2)), Order("c", "3"))
    assert begun(queue) == "abcabaaaa"  # the fourth is the oldest of all


def test_owners_take_turns_within_an_address() -> None:
    queue = queued(*(Order("a", "1", owner=1) for _ in range(4)), *(Order("b", "1", owner=2) for _ in range(2)))
    assert begun(queue) == "abaaba"


def test_order_that_is_due_comes_before_cheaper_ones_of_its_address() -> None:
    queue = queued(*(Order("a", "1", seconds=1) for _ in range(3)), Order("b", "1", seconds=9, limit=0.0))
    queue.add(Order("c", "2"))
    assert begun(queue) == "bcaaa"


def test_cheaper_orders_of_an_owner_come_first_but_every_fourth_is_the_oldest() -> None:
    queue = queued(*(Order(str(seconds), "1", seconds=seconds) for seconds in (9, 8, 7, 1, 2, 3, 4)))
    assert begun(queue) == "1239478"


def test_expensive_order_begins_although_cheap_ones_arrive() -> None:
    queue = queued(Order("x", "1", seconds=9))
    names = ""
    for _ in range(8):
        queue.add(Order("c", "1", seconds=1))
        names += begun(queue, 1)
    assert names == "cccxcccc"


def test_clients_without_an_address_take_turns_by_owner_alone() -> None:
    queue = queued(*(Order("a", None, owner=1) for _ in range(4)), Order("b", None, owner=2), Order("c", "1", owner=1))
    assert begun(queue) == "abcaaa"


def test_orders_of_unknown_clients_share_turns() -> None:
    queue = queued(*(Order("a", "1") for _ in range(3)), Order("b"), Order("b"))
    for each in list(queue)[3:]:
        each.demand = None
    assert begun(queue) == "abaab"


def test_shared_order_belongs_to_the_address_with_the_fewest() -> None:
    flood = [Order("a", "1") for _ in range(5)]
    queue = queued(*flood, Order("s", "1", "2"), Order("b", "3"), Order("b", "3"))
    assert begun(queue, 3) == "asb"


def test_address_that_had_a_turn_comes_after_one_that_had_none() -> None:
    queue = queued(*(Order("a", "1") for _ in range(3)))
    names = begun(queue, 1)
    queue.add(Order("b", "2"))
    assert names + begun(queue) == "abaa"


def test_surplus_is_the_newest_order_of_the_address_with_the_most() -> None:
    orders = [Order("a", "1"), Order("b", "1"), Order("c", "2")]
    assert queued(*orders).surplus().name == "b"
    assert queued(*orders, Order("d", "2")).surplus().name == "d"  # as many: the newest order of both


def test_nothing_is_kept_of_addresses_that_do_not_wait() -> None:
    queue = queued(*(Order("a", str(at)) for at in range(100)))
    begun(queue)
    assert queue._begun_at == {}
