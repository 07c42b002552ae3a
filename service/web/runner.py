"""The application behind its front: the one way in which it is served, by one process, by several, and in tests."""

from __future__ import annotations

import asyncio

from aiohttp import web

from service.web.connections import Patience, Reception
from service.web.front import Front


class Runner(web.ServerRunner):
    """Starts and ends *app*, and the server in front of it. Requests in flight get *shutdown_timeout* seconds."""

    def __init__(self, app: web.Application, patience: Patience, *, shutdown_timeout: float) -> None:
        self._application = web.AppRunner(app)
        self._patience = patience
        self._reception = Reception(_unopened, patience)
        self._patrol: asyncio.Task[None] | None = None
        super().__init__(self._reception, shutdown_timeout=shutdown_timeout)

    async def setup(self) -> None:
        await self._application.setup()
        inner = self._application.server
        assert inner is not None
        front = Front(self._application.app, inner.request_handler, self._patience.write)
        self._reception.request_handler = front.answer
        self._reception.request_factory = inner.request_factory
        self._reception.refuse = front.refuse
        self._patrol = asyncio.create_task(self._reception.patrol())
        await super().setup()

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._patrol is not None:
            self._patrol.cancel()
        await self._application.cleanup()


async def _unopened(_: web.BaseRequest) -> web.StreamResponse:
    raise ConnectionResetError("not open yet")
