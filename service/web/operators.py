"""The resources for operators at an address of their own, without credentials: metrics, readiness, the log's level."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator

import structlog
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

from service.errors import Forbidden
from service.log_level import LEVELS, LOG_LEVEL
from service.web.connections import Connection
from service.web.cors import Cors
from service.web.cross_origin import refuse_foreign
from service.web.headers import uncached
from service.web.health import healthz, metrics, readyz
from service.web.hosts import Hosts
from service.web.keys import AFTER_RELOAD, METRICS, READINESS
from service.web.malformed import malformed
from service.web.request_parser import HeaderTooLarge
from service.web.request_values import Handler, ServerHandler

log = structlog.get_logger()

_MAX_BODY = 64
"""Bytes of a request's body at most."""
_PAUSE = 0.1
"""Seconds from one change of the level to the next."""
_INTERVAL = 0.5
"""Seconds between two looks for another level of the log."""
_NO_ORIGINS = Cors(())


class OperatorsPath:
    """Passes requests to *handler*, and refuses malformed ones. It takes the place of `FastPath`."""

    def __init__(self, _: web.Application, handler: ServerHandler) -> None:
        self._handler = handler

    def answer_at_once(self, _transport: asyncio.WriteTransport, _message: RawRequestMessage) -> bool:
        """Return False: each request has a task."""
        return False

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        if request.content.is_eof():  # a late body has the time limit of a header, and another client takes its place
            connection.mark_busy()
        try:
            if malformed(request):
                response = self.refuse(request, None)
                response.force_close()
                return response
            return await self._handler(request)
        finally:
            connection.mark_idle()

    def refuse(self, _: web.BaseRequest, error: BaseException | None) -> web.Response:
        """Answer a request that is malformed, or that the parser or a handler failed on with *error*."""
        if isinstance(error, HeaderTooLarge):
            return _text("Header too large", 431)
        if error is None or isinstance(error, HttpProcessingError):
            return _text("Malformed request", 400)
        log.error("request.failed", exc_info=error)
        return _text("Internal error", 500)


def operators_application(app: web.Application, hosts: Hosts) -> web.Application:
    """Return the application that shows operators how *app*, which has started, is, by names of *hosts*."""

    @web.middleware
    async def of_served_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not hosts.serves(request):
            raise web.HTTPMisdirectedRequest
        return await handler(request)

    apart = web.Application(middlewares=[_refusals, of_served_host], client_max_size=_MAX_BODY)
    apart[METRICS], apart[READINESS], apart[AFTER_RELOAD] = app[METRICS], app[READINESS], app[AFTER_RELOAD]
    apart.cleanup_ctx.append(_follow_level)
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics), ("/-/log-level", _level)):
        apart.router.add_get(path + "{_end:/?}", handler)
    apart.router.add_put("/-/log-level{_end:/?}", _level_put())
    return apart


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the errors that aiohttp raises the fields of all answers: it names its version in `Server`."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = _text(error.reason, error.status)
        response.headers.update({name: value for name, value in error.headers.items() if name == hdrs.ALLOW})
        return response


async def _level(request: web.Request) -> web.StreamResponse:
    """Answer with the level of the log."""
    _apply_level(request.app)
    return _text(LOG_LEVEL.name, 200)


def _level_put() -> Handler:
    """Return the handler that puts the level in the body in force in all processes, until the service ends.

    Pages of other origins may not. Changes have a line each, and so a pause between them.
    """
    pause_ends = 0.0

    async def put(request: web.Request) -> web.StreamResponse:
        nonlocal pause_ends
        try:
            refuse_foreign(request.headers, _NO_ORIGINS, unauthenticated=True)
        except Forbidden:
            return _text("A page of another origin may not change the level", 403)
        name = (await request.read()).decode("ascii", "replace").strip().upper()
        if name not in LEVELS:
            return _text(f"The body is one of {', '.join(LEVELS)}", 400)
        _apply_level(request.app)
        if name == LOG_LEVEL.name:
            LOG_LEVEL.put(name)  # it outlasts another level of the settings
            return _text(name, 200)
        if (now := time.monotonic()) < pause_ends:
            return _text("The level was changed just now", 429)
        pause_ends = now + _PAUSE
        before = LOG_LEVEL.name
        if name != "ERROR":  # at which the next line would not be written
            LOG_LEVEL.put(name)
        log.warning("audit.log_level", who=_who(request), before=before, after=name)
        LOG_LEVEL.put(name)
        _changed(request.app)
        return _text(name, 200)

    return put


def _who(request: web.Request) -> str:
    """Return the address of the client, or the user at the other end of a unix socket where the system tells it."""
    if request.remote:
        return request.remote
    connection = request.get_extra_info("socket")
    if connection is None or not hasattr(socket, "SO_PEERCRED"):
        return "local"
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return f"uid {struct.unpack('3i', credentials)[1]}"


async def _follow_level(app: web.Application) -> AsyncIterator[None]:
    """Put the level in force that another process has received, while *app* runs."""

    async def follow() -> None:
        while True:
            _apply_level(app)
            await asyncio.sleep(_INTERVAL)

    task = asyncio.create_task(follow())
    yield
    task.cancel()


def _apply_level(app: web.Application) -> None:
    if LOG_LEVEL.apply():
        _changed(app)


def _changed(app: web.Application) -> None:
    for function in app[AFTER_RELOAD]:
        function()


def _text(text: str, status: int) -> web.Response:
    headers = uncached()
    headers[hdrs.CONTENT_TYPE] = "text/plain; charset=utf-8"
    return web.Response(text=f"{text}\n", status=status, headers=headers)
