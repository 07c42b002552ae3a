"""The fast path below aiohttp's router: it answers hits, and passes all other requests to the application."""

from __future__ import annotations

import asyncio
import time

import structlog
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError

from service.access.identity import Role
from service.errors import N_, BadParameter, HeaderTooLarge, PictureError, Unexpected
from service.pictures.ports import Layer
from service.web import request_parser
from service.web.access_log import ANSWER, Answer
from service.web.client_address import peer_address
from service.web.connections import ClientLeft, Connection
from service.web.headers import common
from service.web.keys import (
    ACCESS_LOG,
    AFTER_RELOAD,
    AUTHENTICATOR,
    BODIES,
    DIRECT,
    HOSTS,
    LANGUAGES,
    METRICS,
    REFUSALS,
    REPEATS,
    SHARING,
    TRUSTED_PROXIES,
)
from service.web.malformed import for_server, malformed
from service.web.prebuilt import PrebuiltResponse
from service.web.problems import status_of
from service.web.refusals import WENT_WRONG, refuse_unread
from service.web.repeats import EarlierAnswer, RepeatKey
from service.web.request_ids import X_REQUEST_ID, adopt_given_id, given_back, given_id, identify
from service.web.request_log import log_abandoned
from service.web.request_values import METHODS, ServerHandler, field
from service.web.requester import REQUESTER, Requester, kept_target
from service.web.streaming import SMALL
from service.web.untasked import Steps

log = structlog.get_logger()

_READS = (hdrs.METH_GET, hdrs.METH_HEAD)


class FastPath:
    """Answers hits for a started *app*, and passes all other requests to its own *handler*."""

    def __init__(self, app: web.Application, handler: ServerHandler) -> None:
        self._repeats, self._direct = app[REPEATS], app[DIRECT]
        self._metrics, self._languages = app[METRICS], app[LANGUAGES]
        self._sharing, self._authenticator = app[SHARING], app[AUTHENTICATOR]
        self._refusals, self._bodies, self._access_log = app[REFUSALS], app[BODIES], app[ACCESS_LOG]
        self._hosts, self._proxies = app[HOSTS], app[TRUSTED_PROXIES]
        self._default_requester = self._authenticator.default_requester
        self._handler = handler
        self._read_level()
        app[AFTER_RELOAD].append(self._read_level)

    def _read_level(self) -> None:
        self._access_log.read_level()
        self._logs, self._logs_hits = self._access_log.on, self._access_log.of_hits

    def answer_at_once(self, transport: asyncio.WriteTransport, message: RawRequestMessage) -> bool | Steps:
        """Answer a hit in memory of a requester who is known without a credential. Return False for other requests.

        Return a coroutine if it may be a hit in the shared cache. The caller sees to it that the connection has sent
        its earlier answers.
        """
        requester, method = self._default_requester, message.method
        if requester is None or method not in _READS or Role.READ not in requester.roles:
            return False
        if self._logs_hits and self._access_log.wants_next_hit():
            return False
        if message.should_close or message.version != HttpVersion11 or hdrs.RANGE in message.headers:
            return False
        begun = time.perf_counter()
        key = message.path, field(message, hdrs.ACCEPT)
        earlier = self._repeats.get(key)
        if earlier is None and (target := kept_target(message.path)) is not message.path:
            key = target, key[1]
            earlier = self._repeats.get(key)
        if earlier is None or not self._hosts.serves_names(message.headers.get(hdrs.HOST), message.path):
            return False
        response = self._repeats.answer(message, requester, earlier, SMALL)
        if response is None:
            if method != hdrs.METH_GET or not earlier.small_and_shared:
                return False
            return self._answer_shared(transport, message, requester, key, earlier, begun)
        self._write(transport, message, response, begun, "memory")
        return True

    async def _answer_shared(
        self,
        transport: asyncio.WriteTransport,
        message: RawRequestMessage,
        requester: Requester,
        key: RepeatKey,
        earlier: EarlierAnswer,
        begun: float,
    ) -> bool:
        """Answer a hit in the shared cache. Return False if it is none, or if the client has left."""
        try:
            response = await self._repeats.answer_shared(message, requester, earlier)
        except asyncio.CancelledError:
            response = None  # the client has left
        if transport.is_closing():
            self._metrics.abandoned()
            return False
        if response is None:
            self._repeats.forget(key)  # so that it is not looked up once more
            return False
        if response.length > SMALL:
            return False
        self._write(transport, message, response, begun, "shared")
        return True

    def _write(
        self,
        transport: asyncio.WriteTransport,
        message: RawRequestMessage,
        response: PrebuiltResponse,
        begun: float,
        layer: Layer,
    ) -> None:
        """Count and write *response*, which *layer* of the cache has given."""
        method, seconds = message.method, time.perf_counter() - begun
        self._metrics.request("image", method, response.status, seconds, response.sent(method))
        if self._proxies and (given := given_id(message.headers, peer_address(transport), self._proxies)):
            response.add_field(X_REQUEST_ID, given)
        if self._logs_hits:
            self._access_log.skip_hit()
        response.write_whole(transport, method)  # at last: after a fault the request is answered otherwise

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*. Raise `ConnectionResetError` if the client does not read its earlier answers."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        begun = time.perf_counter()
        given = adopt_given_id(request, self._proxies) if self._proxies else None
        repeats, requester = self._repeats, self._known_reader(request)
        earlier = repeats.find(request, requester) if requester is not None else None
        response, may_send = None, requester is not None and not connection.writing_paused
        if earlier is not None and requester is not None and may_send and self._hosts.serves(request):
            # `find` has checked the version, and an earlier request with this target was not malformed.
            response = repeats.answer(request, requester, earlier)
            if self._logs_hits and response is not None:
                request[ANSWER] = Answer(earlier.owner, earlier.field, "memory", hit=True)
        if response is None:
            if malformed(request):
                connection.mark_idle()
                return self._refuse_malformed(request)
            if not self._hosts.serves(request):
                requester = None  # the router refuses the request, unless it is a probe
            if requester is not None and may_send:
                response = self._direct.answer_at_once(request, requester)
        if response is not None and given is not None:
            response.add_field(X_REQUEST_ID, given)
        if response is not None and response.length <= SMALL:
            connection.mark_idle()
            return self._counted(request, response, begun)
        connection.mark_busy()
        identify(request)  # for what is logged from here on
        try:
            if response is not None:
                return await self._send(request, response, begun)
            if connection.writing_paused:
                await self._wait_sent(request, 0)
            if for_server(request):
                return self._describe_server(request)
            if requester is None:
                return await self._handler(request)
            request[REQUESTER] = requester  # it is not authorized again
            try:
                with connection.cancelled_if_lost():
                    response = await self._look_up(request, requester, earlier)
                if response is None:
                    return await self._handler(request)
                if given is not None:
                    response.add_field(X_REQUEST_ID, given)
                return await self._send(request, response, begun)
            finally:
                repeats.release(request, requester)
        except ClientLeft:
            self._metrics.abandoned()
            log_abandoned(request, time.perf_counter() - begun)
            raise
        finally:
            connection.mark_idle()

    async def _look_up(
        self, request: web.BaseRequest, requester: Requester, earlier: EarlierAnswer | None
    ) -> PrebuiltResponse | None:
        """Return the answer of a cache, a near store, or an equal request that is being answered; else None."""
        if request.method == hdrs.METH_GET:
            if earlier is not None and (response := await self._repeats.answer_shared(request, requester, earlier)):
                if self._logs_hits:
                    request[ANSWER] = Answer(earlier.owner, earlier.field, "shared", hit=True)
                return response
            if (response := await self._follow(request, requester)) is not None:
                return response
        return await self._direct.answer(request, requester)

    async def _follow(self, request: web.BaseRequest, requester: Requester) -> PrebuiltResponse | None:
        """Wait for an equal request that is being answered, and return its answer; None if there is none to share."""
        if (response := await self._repeats.follow(request, requester)) is not None:
            self._metrics.collapsed()
        return response

    def _known_reader(self, request: web.BaseRequest) -> Requester | None:
        """Return the requester of GET or HEAD if it is known without a verifier and may read; else None."""
        if request.method not in _READS:
            return None
        requester = self._default_requester or self._authenticator.known_requester(request)
        return requester if requester is not None and Role.READ in requester.roles else None

    async def _send(self, request: web.BaseRequest, response: PrebuiltResponse, begun: float) -> web.StreamResponse:
        """Send *response* if it is large, and return it. If there is no room for it, have the handler answer."""
        if response.length > SMALL:
            if not self._bodies.has_room(response.length):
                return await self._handler(request)
            await response.prepare(request)
            await self._wait_sent(request, response.length)
        return self._counted(request, response, begun)

    def _counted(self, request: web.BaseRequest, response: PrebuiltResponse, begun: float) -> web.StreamResponse:
        """Count and log *response*, and return it."""
        seconds = time.perf_counter() - begun
        method = request.method
        self._metrics.request("image", method, response.status, seconds, response.sent(method))  # no others are made
        if self._logs:
            self._access_log.answered(request, response, seconds, response.sent(method))
        return response

    def _describe_server(self, request: web.BaseRequest) -> web.Response:
        """Answer `OPTIONS *`, for which the router has no path."""
        self._metrics.request("other", request.method, 204, 0.0, 0)
        headers = common(None, None)
        headers["Allow"] = ", ".join(METHODS)
        headers.update(given_back(request))
        self._sharing.add(headers, request, None)
        return web.Response(status=204, headers=headers)

    def _refuse_malformed(self, request: web.BaseRequest) -> web.Response:
        """Answer 400 and close the connection: a malformed request may end elsewhere than it seems to."""
        response = self.refuse(request, BadHttpMessage("malformed"))
        response.force_close()
        return response

    def refuse(self, request: web.BaseRequest, error: BaseException | None) -> web.Response:
        """Answer a request that the parser failed on with *error*."""
        request_id = identify(request)
        if isinstance(error, HttpProcessingError):
            reason: PictureError = BadParameter(N_("This is no HTTP request that we understand."))
            if isinstance(error, request_parser.HeaderTooLarge):
                reason = HeaderTooLarge(
                    N_("A request may have at most %(count)s header fields, of %(limit)s bytes in all."),
                    {"count": request_parser.MAX_FIELDS, "limit": request_parser.MAX_HEADER},
                )
            self._refusals.malformed(error, status_of(reason))
        else:
            reason = Unexpected(WENT_WRONG)
            log.error("request.failed", exc_info=error)
        response = refuse_unread(self._languages, reason, request_id)
        self._sharing.add(response.headers, request, None)
        self._metrics.request("other", request.method, response.status, 0.0, response.content_length or 0)
        return response

    async def _wait_sent(self, request: web.BaseRequest, length: int) -> None:
        """Wait until the client has read its answers so far, the last of them with a body of *length* bytes."""
        if request.transport is None:
            return
        try:
            await self._bodies.wait_sent(request.transport, request.writer, length)
        except TimeoutError:
            log.info("response.cut", reason="TimeoutError")
            request.transport.abort()
            raise ConnectionResetError("the client reads nothing") from None
