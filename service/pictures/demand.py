"""The clients that wait for a result, so that no work is done for clients that have left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Client(Protocol):
    """The client of one request."""

    @property
    def half_closed(self) -> bool:
        """Whether the client sends nothing more. It may have left, or still wait for its answer."""

    @property
    def addresses(self) -> frozenset[str | None]:
        """The network address, by which clients take turns; None if it is not known."""


class Demand:
    """The clients that wait for one result; None is a client of which nothing is known.

    *on_abandoned* is called when all of them have left. A demand is a client itself: its result may depend on another.
    """

    def __init__(self, on_abandoned: Callable[[], None]) -> None:
        self._clients: list[Client | None] = []
        self._on_abandoned = self._abandon = on_abandoned

    @property
    def abandoned(self) -> bool:
        """Whether all clients have left."""
        return not self._clients

    @property
    def half_closed(self) -> bool:
        """Whether no client will send anything more, and some may still wait."""
        for each in self._clients:  # a loop, since a generator takes longer, and the queue looks at all orders
            if each is None or not each.half_closed:
                return False
        return bool(self._clients)

    @property
    def addresses(self) -> frozenset[str | None]:
        """The addresses of all clients. One that is not known is None."""
        if len(self._clients) == 1 and (client := self._clients[0]) is not None:
            return client.addresses
        return frozenset().union(*((None,) if each is None else each.addresses for each in self._clients))

    @contextmanager
    def joined(self, client: Client | None) -> Iterator[None]:
        """Let *client* wait during the block."""
        self._clients.append(client)
        try:
            yield
        finally:
            self._clients.remove(client)
            if not self._clients:
                self._on_abandoned()

    def hold(self, on_abandoned: Callable[[], None]) -> None:
        """Let the work continue when all clients have left. *on_abandoned* is called then, and may call `abandon`."""
        self._on_abandoned = on_abandoned

    def abandon(self) -> None:
        """End the work, for which no client waits."""
        self._abandon()
