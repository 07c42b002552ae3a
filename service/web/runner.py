"""Starting and stopping an application with its fast path and its connection limits.

One process, several processes and the tests all serve the application by `Runner`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from service.web.connections import Connection, ConnectionLimits, ConnectionServer
from service.web.fast_path import FastPath
from service.web.operators import OperatorsPath
from service.web.request_values import ServerHandler

FAST_PATH: web.AppKey[Callable[[web.Application, ServerHandler], FastPath | OperatorsPath]] = web.AppKey("fast_path")
"""Makes what gets the requests of an application in place of `FastPath`: if they are traced, or are of operators."""
_HEADER_LOOKS = 20
"""Looks at the stop for headers that are awaited."""
_HEADER_INTERVAL = 0.01
"""Seconds between two such looks."""
_CUT_TIMEOUT = 0.1
"""Seconds for a request to end after it is cut."""


class Runner(web.ServerRunner):
    """Starts and stops *app* and its server.

    At the stop, requests in flight get *shutdown_timeout* seconds, or the time until *hurried* is set.
    """

    def __init__(
        self,
        app: web.Application,
        limits: ConnectionLimits,
        *,
        shutdown_timeout: float,
        hurried: asyncio.Event | None = None,
    ) -> None:
        self._application = web.AppRunner(app)
        self._timeout, self._hurried = shutdown_timeout, hurried or asyncio.Event()
        self._connection_server = ConnectionServer(_refuse_early, limits)
        self._watching: asyncio.Task[None] | None = None
        super().__init__(self._connection_server, shutdown_timeout=_CUT_TIMEOUT)

    async def setup(self) -> None:
        await self._application.setup()
        inner = self._application.server
        assert inner is not None
        path = self._application.app.get(FAST_PATH, FastPath)(self._application.app, inner.request_handler)
        self._connection_server.request_handler = path.answer
        self._connection_server.request_factory = inner.request_factory
        self._connection_server.answer_at_once = path.answer_at_once
        self._connection_server.refuse = path.refuse
        self._watching = asyncio.create_task(self._connection_server.watch_connections())
        await super().setup()

    def close_after_answers(self) -> None:
        """Close each connection after its next answer, which says so. The stop follows."""
        self._connection_server.close_after_answers()

    async def cleanup(self) -> None:
        """Close the listening socket, finish the requests in flight, cut late ones, and end the application."""
        for site in self.sites:
            await site.stop()
        await self._await_headers()
        self._connection_server.pre_shutdown()
        await self._finish_requests()
        unfinished = self._connection_server.connections
        await super().cleanup()
        for connection in unfinished:
            if isinstance(connection, Connection):
                connection.abort()
        if self._watching is not None:
            self._watching.cancel()
        await self._application.cleanup()

    async def _await_headers(self) -> None:
        """Wait a moment for the requests of connections that were taken just before the listening socket was closed."""
        await asyncio.sleep(0)
        for _ in range(_HEADER_LOOKS):
            if self._hurried.is_set() or not self._connection_server.awaits_headers:
                break
            await asyncio.sleep(_HEADER_INTERVAL)

    async def _finish_requests(self) -> None:
        """Wait for the requests in flight, until the time is over or the stop is hurried."""
        # aiohttp would wait for its time-out twice. Without one it waits until it is cancelled.
        finished = asyncio.create_task(self._connection_server.shutdown(None))
        hurried = asyncio.create_task(self._hurried.wait())
        await asyncio.wait((finished, hurried), timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        finished.cancel()
        hurried.cancel()
        await asyncio.gather(finished, hurried, return_exceptions=True)


async def _refuse_early(_: web.BaseRequest) -> web.StreamResponse:
    raise ConnectionResetError("not open yet")
