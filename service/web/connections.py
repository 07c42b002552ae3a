"""Connections: how long the header of a request may take, how many of them there may be, who gives way.

Knows nothing of pictures. What no parser understands is answered by what stands in front of the application.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiohttp import web

log = structlog.get_logger()

_IDLE = math.inf
_BUSY = -math.inf
_WATCH_INTERVAL = 0.5
"""Seconds between two looks at all connections."""


class Refuse(Protocol):
    """Makes the answer to a request that failed below the application: what no parser understands, or our own fault."""

    def __call__(self, request: web.BaseRequest, error: BaseException | None, /) -> web.StreamResponse: ...


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """With clients: seconds for a header, between two requests, and for reading an answer; connections at most."""

    header: float
    keepalive: float
    write: float
    connections: int


class Connection(web.RequestHandler):
    """A client's connection, that knows since when it waits for the rest of a header (by time.monotonic)."""

    __slots__ = ("_connection_server", "_line", "closing_since", "waits_since")

    def __init__(self, server: ConnectionServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._connection_server = server
        self._line: asyncio.BaseTransport | None = None
        self.waits_since = time.monotonic()
        self.closing_since = math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.waits_since == _IDLE:
            self.waits_since = time.monotonic()
        super().data_received(data)

    def begins(self) -> None:
        """A request's header is whole."""
        self.waits_since = _BUSY

    def ends(self) -> None:
        """Its answer is on the way; what comes next is another header."""
        self.waits_since = _IDLE

    def abort(self) -> None:
        """End it at once, whatever was still to be sent."""
        if self._line is not None:
            self._line.abort()  # type: ignore[attr-defined]  # uvloop's is a Transport, though not by its class

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what the parser could not read, or the front failed at; the connection is closed after it."""
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is there to be answered
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is sent already")
        response = self._connection_server.refuse(request, exc)
        response.force_close()
        return response


class ConnectionServer(web.Server):
    """Takes connections, and watches over them while `watch_connections` runs.

    When there are too many, one that is idle gives way to who comes, or else the one whose header is awaited longest;
    when all are being answered, who comes is turned away.
    """

    refuse: Refuse

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], limits: ConnectionLimits
    ) -> None:
        super().__init__(handler)
        self._limits = limits

    def __call__(self) -> Connection:
        return Connection(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=self._limits.keepalive,
            auto_decompress=False,  # nobody asked for what a compressed body inflates to
            access_log=None,
        )

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        crowded = len(self.connections) >= self._limits.connections
        others = self._taken() if crowded else []
        super().connection_made(handler, transport)
        if crowded:
            waiting = [each for each in others if each.waits_since != _BUSY]
            least = max(waiting, key=_patient, default=None)
            log.info("server.crowded", connections=len(others))
            (least or handler).force_close()

    async def watch_connections(self) -> None:
        """Until cancelled, end connections that are too slow with a header, or whose end the client will not read."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL)
            now = time.monotonic()
            for each in self._taken():
                if not each.connected:  # closed by us, while something is still to be sent
                    each.closing_since = min(each.closing_since, now)
                    if now - each.closing_since > self._limits.write:
                        each.abort()
                elif each.waits_since != _BUSY and now - each.waits_since > self._limits.header:
                    log.debug("connection.slow")
                    each.force_close()

    def _taken(self) -> list[Connection]:
        return [each for each in self.connections if isinstance(each, Connection)]


def _patient(connection: Connection) -> float:
    """Greater for whoever gives way sooner."""
    return math.inf if connection.waits_since == _IDLE else -connection.waits_since
