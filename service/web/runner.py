"""Starting and stopping the application with its fast path and its connection limits.

One process, several processes and the tests all serve the application by `Runner`.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from service.web.connections import ConnectionLimits, ConnectionServer
from service.web.fast_path import FastPath


class Runner(web.ServerRunner):
    """Starts and stops *app* and its server. At the stop, requests in flight get *shutdown_timeout* seconds."""

    def __init__(self, app: web.Application, limits: ConnectionLimits, *, shutdown_timeout: float) -> None:
        self._application = web.AppRunner(app)
        self._limits = limits
        self._connection_server = ConnectionServer(_refuse_early, limits)
        self._watching: asyncio.Task[None] | None = None
        super().__init__(self._connection_server, shutdown_timeout=shutdown_timeout)

    async def setup(self) -> None:
        await self._application.setup()
        inner = self._application.server
        assert inner is not None
        fast_path = FastPath(self._application.app, inner.request_handler, self._limits.write)
        self._connection_server.request_handler = fast_path.answer
        self._connection_server.request_factory = inner.request_factory
        self._connection_server.refuse = fast_path.refuse
        self._watching = asyncio.create_task(self._connection_server.watch_connections())
        await super().setup()

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._watching is not None:
            self._watching.cancel()
        await self._application.cleanup()


async def _refuse_early(_: web.BaseRequest) -> web.StreamResponse:
    raise ConnectionResetError("not open yet")
