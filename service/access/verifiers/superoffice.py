"""SuperOffice, asked who the owner of a credential is: with that credential, as the owner would ask."""

from __future__ import annotations

import asyncio
import hmac
import re
from base64 import b64encode
from collections.abc import Iterable
from http import HTTPStatus

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from service.access.identity import Identity
from service.access.ports import CROWDED, UNAVAILABLE, WRONG
from service.access.verifiers.client import Client, Unanswered
from service.access.verifiers.principal import identity_of
from service.bounded_queue import BoundedQueue, QueueFull
from service.breaker import CircuitBreaker
from service.errors import N_, Forbidden, NotAuthenticated, VerificationUnavailable
from service.protocol.credentials import Basic, Bearer, Credential, SoTicket

log = structlog.get_logger()

_RESOURCE = "/api/v1/User/currentPrincipal"
_AT_ONCE, _MOST_WAITING = 32, 256
_WAIT = 2.0
"""Seconds to wait for a free connection slot."""
_PATIENCE = 3.0
"""Seconds for one verification, retries included."""
_IS_IT_THERE = 1.0
"""Seconds for the request without a credential that follows a failed verification."""
_TRIES = 3

_REFUSED = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    # To a page to log in at. The permanent ones tell that the settings have another address than SuperOffice.
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
)

# RFC 9110 §11.4 and what SuperOffice adds to it; RFC 6265 §4.1.1, cookie-octet; RFC 9110 §5.5.
_TOKEN = re.compile(r"[\x21-\x7e]+")
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

APP_TOKEN = N_("The SO-AppToken is missing or wrong.")


class SuperOffice:
    """A `Verifier` of all kinds of credentials, by way of the SuperOffice at *url*.

    One of *app_tokens*, where there are any, must accompany tickets and tokens. *session_cookie* is the name of the
    cookie that carries a session.
    """

    def __init__(self, url: str, *, session_cookie: str, app_tokens: Iterable[str] = ()) -> None:
        self._url = url.rstrip("/") + _RESOURCE
        self._session_cookie = session_cookie
        self._app_tokens = tuple(token.encode() for token in app_tokens)
        self._client = Client(_AT_ONCE)
        self._breaker = CircuitBreaker(threshold=3, pause=2.0)
        self._slots, self._queue = asyncio.Semaphore(_AT_ONCE), BoundedQueue(_MOST_WAITING, _WAIT)

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        """See `Verifier`. Takes six seconds at most."""
        if isinstance(credential, SoTicket | Bearer):
            self._demand(app_token)
        headers = self._headers(credential)
        if app_token:
            headers["SO-AppToken"] = _sendable(_FIELD_VALUE, app_token, Forbidden(APP_TOKEN))
        try:
            await self._queue.wait(self._slots.acquire)
        except QueueFull:
            raise VerificationUnavailable(CROWDED) from None
        try:
            return await self._ask(headers)
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _demand(self, app_token: str | None) -> None:
        given = (app_token or "").encode("utf-8", "surrogateescape")
        # All of them, whichever it is: the time it takes tells nothing.
        if self._app_tokens and not sum(hmac.compare_digest(given, each) for each in self._app_tokens):
            raise Forbidden(APP_TOKEN)

    def _headers(self, credential: Credential) -> dict[str, str]:
        """*credential* as its owner would send it. What could be read as more than one value goes nowhere."""
        wrong = NotAuthenticated(WRONG)
        if isinstance(credential, Basic):
            return {"Authorization": f"Basic {b64encode(f'{credential.user}:{credential.password}'.encode()).decode()}"}
        if isinstance(credential, Bearer):
            return {"Authorization": f"Bearer {_sendable(_TOKEN, credential.token, wrong)}"}
        if isinstance(credential, SoTicket):
            return {"Authorization": f"SOTicket {_sendable(_TOKEN, credential.ticket, wrong)}"}
        cookie = _sendable(_COOKIE_VALUE, credential.cookie, wrong)
        xsrf = _sendable(_COOKIE_VALUE, credential.xsrf, wrong)
        return {"Cookie": f"{self._session_cookie}={cookie}; XSRF-TOKEN={xsrf}", "X-XSRF-TOKEN": xsrf}

    async def _ask(self, headers: dict[str, str]) -> Identity:
        if not self._breaker.admits():
            raise VerificationUnavailable(UNAVAILABLE)
        try:
            async with asyncio.timeout(_PATIENCE):
                identity = await self._retry(headers)
        except TimeoutError:
            await self._stumbled("no answer in time")
        except Unanswered as error:
            await self._stumbled(str(error))
        else:
            self._breaker.succeeded()
            if identity is None:
                raise NotAuthenticated(WRONG)
            return identity
        raise VerificationUnavailable(UNAVAILABLE)

    async def _retry(self, headers: dict[str, str]) -> Identity | None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Unanswered),
            stop=stop_after_attempt(_TRIES),
            wait=wait_exponential_jitter(multiplier=0.1, max=0.5, jitter=0.1),
            reraise=True,
        ):
            with attempt:
                return await self._once(headers)
        raise AssertionError("tenacity gives a result, or raises")

    async def _once(self, headers: dict[str, str]) -> Identity | None:
        """Who it is; None is nobody. Raises `Unanswered` for what may go better another time."""
        answer = await self._client.get(self._url, headers)
        if answer.status == HTTPStatus.OK:
            return identity_of(answer)
        if answer.status in _REFUSED:
            return None
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise Unanswered(f"status {answer.status}", answer.status)
        log.warning("superoffice.unexpected", status=answer.status)
        raise VerificationUnavailable(UNAVAILABLE)

    async def _stumbled(self, reason: str) -> None:
        """A credential may be what SuperOffice stumbles over; that must not close the door to all others. So it is
        asked about nobody: whoever answers that is there."""
        try:
            async with asyncio.timeout(_IS_IT_THERE):
                status = (await self._client.get(self._url, {})).status
            there = status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS
        except (TimeoutError, Unanswered):
            there = False
        if not there:
            self._failed(reason)

    def _failed(self, reason: str) -> None:
        was_open = self._breaker.open
        self._breaker.failed()
        if self._breaker.open and not was_open:
            log.warning("superoffice.unavailable", reason=reason)


def _sendable(pattern: re.Pattern[str], text: str, refusal: Forbidden | NotAuthenticated) -> str:
    if not pattern.fullmatch(text):
        raise refusal
    return text
