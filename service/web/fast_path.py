"""What every request meets first: a repeat is answered here, below the router; all else is the application's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError

from service.access.identity import Role
from service.errors import N_, BadParameter, PictureError, Unexpected
from service.web.connections import Connection
from service.web.headers import common
from service.web.health import METRICS
from service.web.malformed import for_server, malformed, names_a_host
from service.web.picture import LANGUAGES, REPEATS
from service.web.problems import problem, status_of
from service.web.request_id import REQUEST_ID, new_request_id
from service.web.routes import WENT_WRONG
from service.web.security import AUTHENTICATOR, REQUESTER, Requester

log = structlog.get_logger()

_READS = (hdrs.METH_GET, hdrs.METH_HEAD)


class FastPath:
    """Stands before a started *app*, whose own handler is *onwards*. *write_timeout* is in seconds."""

    def __init__(
        self,
        app: web.Application,
        onwards: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        write_timeout: float,
    ) -> None:
        self._repeats, self._metrics, self._languages = app[REPEATS], app[METRICS], app[LANGUAGES]
        self._authenticator = app[AUTHENTICATOR]
        self._everybody = self._authenticator.default_requester
        self._onwards, self._write_timeout = onwards, write_timeout
        self._tells = bool(log.bind().is_enabled_for(logging.DEBUG))  # asked once, not on every hit

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to *request*. Raises ConnectionResetError for a client that reads none of what it asked for."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        begun = time.perf_counter()
        repeats, requester = self._repeats, self._reader(request)
        known = repeats.find(request, requester) if requester is not None else None
        if known is not None and requester is not None and not connection.writing_paused and names_a_host(request):
            response = repeats.answer(request, requester, known)  # the rest of a repeat was looked at the first time
            if response is not None:
                connection.ends()
                return self._told(request, response, time.perf_counter() - begun)
        if malformed(request):
            connection.ends()
            return self._turned_away(request)
        connection.begins()
        try:
            if connection.writing_paused:
                await self._drained(request)
            if for_server(request):
                return self._of_server(request)
            if requester is not None:
                request[REQUESTER] = requester  # nobody further up need settle it again
            if requester is None or request.method != hdrs.METH_GET:
                return await self._onwards(request)
            response = await repeats.answer_shared(request, requester, known) if known is not None else None
            if response is None and (response := await repeats.follow(request, requester)) is not None:
                self._metrics.collapsed()
            if response is not None:
                return self._told(request, response, time.perf_counter() - begun)
            try:
                return await self._onwards(request)
            finally:
                repeats.left(request)
        finally:
            connection.ends()

    def _reader(self, request: web.BaseRequest) -> Requester | None:
        """Who wants to read, where that is settled already; all others are asked who they are further up."""
        if request.method not in _READS:
            return None
        requester = self._everybody or self._authenticator.known_requester(request)
        return requester if requester is not None and Role.READ in requester.roles else None

    def _turned_away(self, request: web.BaseRequest) -> web.Response:
        """400, and no more on this connection: what is malformed may end elsewhere than it seems to."""
        response = self.refuse(request, BadHttpMessage("malformed"))
        response.force_close()
        return response

    def _of_server(self, request: web.BaseRequest) -> web.Response:
        """The answer to `OPTIONS *`, which the router knows no path for."""
        self._metrics.request("other", request.method, 204, 0.0)
        headers = common(None, None)
        headers["Allow"] = "GET, HEAD, PUT, POST, DELETE, PURGE, OPTIONS"
        return web.Response(status=204, headers=headers)

    def _told(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
        """*response* to a repeat, counted and logged."""
        self._metrics.request("image", request.method, response.status, seconds)  # only pictures are repeated
        if self._tells:
            REQUEST_ID.set(new_request_id())
            log.debug("request", method=request.method, path=request.path, status=response.status, seconds=seconds)
        return response

    def refuse(self, request: web.BaseRequest, error: BaseException | None) -> web.Response:
        """The answer to what the parser could not read: *error* quotes the request, so only its name is logged."""
        REQUEST_ID.set(request_id := new_request_id())
        if isinstance(error, HttpProcessingError):
            reason: PictureError = BadParameter(N_("This is no HTTP request that we understand."))
            log.info("request.malformed", kind=type(error).__name__)
        else:
            reason = Unexpected(WENT_WRONG)
            log.error("request.failed", exc_info=error)
        status, language = status_of(reason), self._languages.choose(None, None)
        self._metrics.request("other", request.method, status, 0.0)
        headers = common(None, None)
        headers["Content-Type"] = "application/problem+json"
        headers["Content-Language"] = language
        headers["Cache-Control"] = "no-store"
        body = problem(reason, self._languages, language, None, "/", request_id)
        return web.Response(status=status, headers=headers, body=body)

    async def _drained(self, request: web.BaseRequest) -> None:
        """Wait until the client has read most of the earlier answers: who sends on and on must not fill our memory."""
        try:
            async with asyncio.timeout(self._write_timeout):
                await request.writer.drain()
        except TimeoutError:
            log.info("response.cut", reason="TimeoutError")
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the client reads nothing") from None
