"""Client connections: the time limit of a request's header, and the limit on the number of connections.

This module does not know the resources. The error handler `refuse` answers requests that the parser rejects.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from service.web.request_parser import MAX_FIELD, MAX_FIELDS, MAX_TARGET, RequestParser
from service.web.request_values import ServerHandler
from service.web.untasked import UntaskedConnection, UntaskedServer

log = structlog.get_logger()

_IDLE = math.inf
"""The `waits_since` of a connection on which no byte of the next request has arrived."""
_BUSY = -math.inf
"""The `waits_since` of a connection whose request is being answered."""
_WATCH_INTERVAL = 0.5
"""Seconds between two checks of all connections."""

Refuse = Callable[[web.BaseRequest, BaseException | None], web.StreamResponse]
"""A function that makes the answer to a request that failed below the application."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on client connections."""

    header: float
    """Seconds for the header of a request."""
    keepalive: float
    """Seconds between two requests."""
    write: float
    """Seconds for a client to read an answer."""
    connections: int
    """Connections at most."""
    descriptors: float
    """The lowest file descriptor that stays free for files and pipes."""
    backlog: int
    """Connections that wait to be accepted."""


class ClientLeft(ConnectionResetError):
    """The client has closed the connection before its request was answered."""


class Connection(UntaskedConnection):
    """A client's connection.

    *half_closed*: the client has closed its sending half while it waits for an answer. *lost*: it has closed the whole
    connection. *waits_since* is the `time.monotonic()` at which the wait for a whole header began, `_IDLE` or `_BUSY`.
    *closing_since* is that at which the connection was first seen closed with bytes still to send, or infinity.
    """

    __slots__ = (
        "_client_transport",
        "_connection_server",
        "closing_since",
        "half_closed",
        "lost",
        "waits_since",
    )

    def __init__(self, server: ConnectionServer, **options: Any) -> None:
        super().__init__(server, max_line_size=MAX_TARGET, max_field_size=MAX_FIELD, max_headers=MAX_FIELDS, **options)
        self._parser = RequestParser(self._parser)  # type: ignore[assignment]  # it has what `RequestHandler` calls
        self._connection_server = server
        self._client_transport: asyncio.BaseTransport | None = None
        self.half_closed = self.lost = False
        self.waits_since = time.monotonic()
        self.closing_since = math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client_transport = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.waits_since == _IDLE:
            self.waits_since = time.monotonic()
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's protocols return whether to stay open
        """Keep the connection open while there are requests to answer, since the client may have closed one half only.

        If a body is cut short, there is nothing to answer.
        """
        waits, request = self._waiter is not None, self._current_request
        if (waits and not self._messages) or (request is not None and not request.content.is_eof()):
            return False
        self.half_closed = True
        if self.waits_since != _BUSY:
            self._close_after_last()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.lost = True

    def cancelled_if_lost(self) -> _CancelledIfLost:
        """Return a context manager that raises `ClientLeft` as soon as the connection is lost."""
        return _CancelledIfLost(self)

    def mark_busy(self) -> None:
        self.waits_since = _BUSY

    def mark_idle(self) -> None:
        self.waits_since = _IDLE
        if self.half_closed:
            self._close_after_last()

    def _close_after_last(self) -> None:
        if not self._messages:
            self.close()

    @property
    def request_factory(self) -> Callable[..., web.BaseRequest]:
        """The function that makes requests. Only a stop replaces it, so a request costs no look for a stop."""
        return self._request_factory  # type: ignore[return-value]  # it is never None here

    @request_factory.setter
    def request_factory(self, make: Callable[..., web.BaseRequest]) -> None:
        self._request_factory = make

    def abort(self) -> None:
        """Close the connection at once; unsent bytes are discarded."""
        if self._client_transport is not None:
            self._client_transport.abort()  # type: ignore[attr-defined]  # uvloop's transports are no subclass of Transport

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a request that the parser rejects, or that fails. It closes the connection."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client is gone
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is sent already")
        response = self._connection_server.refuse(request, exc)
        response.force_close()
        return response


class _CancelledIfLost:
    """See `Connection.cancelled_if_lost`. It is a class because a generator takes longer, on every hit in Redis."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        if not self._connection.connected:
            raise ClientLeft
        self._connection.waiting = asyncio.current_task()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task, self._connection.waiting = self._connection.waiting, None
        if kind is asyncio.CancelledError and isinstance(task, asyncio.Task) and self._connection.lost:
            task.uncancel()
            raise ClientLeft from None


class ConnectionServer(UntaskedServer):
    """Accepts connections, and enforces their limits while `watch_connections` runs.

    When there are too many, a new connection replaces an idle one, or the one whose header is awaited longest. When all
    of them are being answered, the new one is closed. There are too many, too, while one has a spare descriptor.
    """

    refuse: Refuse

    def __init__(self, handler: ServerHandler, limits: ConnectionLimits) -> None:
        super().__init__(handler)
        self.limits = limits
        self._spare_descriptors: set[web.RequestHandler] = set()  # connections that have one

    def __call__(self) -> Connection:
        return Connection(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=self.limits.keepalive,
            auto_decompress=False,  # no resource reads a compressed body
            access_log=None,
        )

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        # The kernel gives the lowest free descriptor: all below it are in use, for connections or for other things.
        if transport.get_extra_info("socket").fileno() >= self.limits.descriptors:
            self._spare_descriptors.add(handler)
        full = len(self.connections) >= self.limits.connections or bool(self._spare_descriptors)
        others = self._open_connections() if full else []
        super().connection_made(handler, transport)
        if full:
            waiting = [each for each in others if each.waits_since != _BUSY and each.connected]
            replaced = max(waiting, key=_waiting_order, default=None)
            log.info("server.crowded", connections=len(others))
            if replaced is not None:
                replaced.force_close()
            elif others:  # not at once: aiohttp has not begun to wait for its requests
                asyncio.get_running_loop().call_soon(handler.force_close)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._spare_descriptors.discard(handler)

    def close_after_answers(self) -> None:
        """Close each connection after its next answer, which says so (RFC 9112 section 9.6).

        A connection that is closed while it is idle may lose a request that is on its way.
        """
        make_request = self.request_factory
        self.answer_at_once = lambda _transport, _message: False

        def make_last_request(message: Any, *rest: Any) -> web.BaseRequest:
            return make_request(message._replace(should_close=True), *rest)

        self.request_factory = make_last_request
        for each in self._open_connections():
            each.request_factory = make_last_request

    async def watch_connections(self) -> None:
        """Close connections whose header is late, or whose last bytes the client does not read, until cancelled."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL)
            now = time.monotonic()
            for each in self._open_connections():
                if not each.connected:  # closed here, with bytes still to send
                    each.closing_since = min(each.closing_since, now)
                    if now - each.closing_since > self.limits.write:
                        each.abort()
                elif each.waits_since != _BUSY and now - each.waits_since > self.limits.header:
                    log.debug("connection.slow")
                    each.force_close()

    @property
    def awaits_headers(self) -> bool:
        """Whether there is a connection on which a header has begun, or the first one is awaited."""
        return any(math.isfinite(each.waits_since) for each in self._open_connections())

    def _open_connections(self) -> list[Connection]:
        return [each for each in self.connections if isinstance(each, Connection)]


def _waiting_order(connection: Connection) -> float:
    """Return the sort key of *connection*: the one with the largest key is replaced."""
    return math.inf if connection.waits_since == _IDLE else -connection.waits_since
