"""The client of a request, as the queue of orders sees it."""

from __future__ import annotations

from functools import cached_property

from aiohttp import web

from service.web.client_address import Networks, address_in_turn
from service.web.connections import Connection


class WaitingClient:
    """The client that waits for the answer to *request* on *connection*. *proxies* are the trusted ones."""

    def __init__(self, request: web.BaseRequest, connection: Connection, proxies: Networks) -> None:
        self._request, self._connection, self._proxies = request, connection, proxies

    @property
    def half_closed(self) -> bool:
        """Whether the client has closed its sending half. It may have left, or still wait."""
        return self._connection.half_closed

    @cached_property
    def addresses(self) -> frozenset[str | None]:
        """The address with which this client takes turns, or None. It is needed for an order that waits only."""
        request = self._request
        forwarded = request.headers.getall("X-Forwarded-For", ())
        return frozenset((address_in_turn(request.remote, forwarded, self._proxies),))
