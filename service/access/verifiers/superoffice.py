"""Verification by SuperOffice: it returns the principal of a request that carries the credential."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from http import HTTPStatus

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from service.access.identity import Identity
from service.access.ports import CROWDED, UNAVAILABLE, WRONG
from service.access.schemes import Basic, Bearer, Credential, Session, SoTicket
from service.access.verifiers.client import Client, NoAnswer
from service.access.verifiers.principal import identity_of
from service.bounded_queue import BoundedQueue, QueueFull
from service.breaker import CircuitBreaker
from service.errors import N_, Forbidden, NotAuthenticated, VerificationUnavailable
from service.outage import Outage

log = structlog.get_logger()

_RESOURCE = "/api/v1/User/currentPrincipal"
_CONNECTIONS = 32
"""Connections to SuperOffice."""
_MAX_WAITING = 256
"""Verifications that wait for a free connection slot."""
_SLOT_TIMEOUT = 2.0
"""Seconds to wait for a free connection slot."""
_VERIFY_TIMEOUT = 3.0
"""Seconds for one verification, retries included."""
_PROBE_TIMEOUT = 1.0
"""Seconds for the request without a credential that follows a failed verification."""
_TRIES = 3
"""Requests of one verification."""
_RETRY_WAIT = wait_exponential_jitter(multiplier=0.1, max=0.5, jitter=0.1)
"""Seconds between two tries: they grow from 0.1 to 0.5, with up to 0.1 at random in addition."""

_REFUSALS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    # Redirects to a log-in page. A permanent one means that the settings have a wrong address.
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
)

# RFC 9110 section 11.4 and SuperOffice's additions; RFC 6265 section 4.1.1, cookie-octet; RFC 9110 section 5.5.
_TOKEN = re.compile(r"[\x21-\x7e]+")
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

APP_TOKEN_WRONG = N_("The SO-AppToken is missing or wrong.")


class SuperOffice:
    """A `Verifier` of all kinds of credentials by the SuperOffice at *url*.

    If there are *app_tokens*, a ticket or a token must be accompanied by one of them. *session_cookie* is the name of
    the session's cookie. *took* is called with the seconds of each of its requests.
    """

    def __init__(
        self,
        url: str,
        *,
        session_cookie: str,
        app_tokens: Iterable[str] = (),
        took: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._url = url.rstrip("/") + _RESOURCE
        self._session_cookie = session_cookie
        self._app_tokens = tuple(token.encode() for token in app_tokens)
        self._client, self._took = Client(_CONNECTIONS), took
        self._breaker = CircuitBreaker(threshold=3, pause=2.0)
        self._outage = Outage()
        self._slots, self._queue = asyncio.Semaphore(_CONNECTIONS), BoundedQueue(_MAX_WAITING, _SLOT_TIMEOUT)

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        """See `Verifier`. It takes six seconds at most."""
        if isinstance(credential, SoTicket | Bearer):
            self._check_app_token(app_token)
        headers = self._headers(credential)
        if app_token and not isinstance(credential, Basic):
            headers["SO-AppToken"] = _checked(_FIELD_VALUE, app_token, Forbidden(APP_TOKEN_WRONG))
        try:
            await self._queue.wait(self._slots.acquire)
        except QueueFull:
            raise VerificationUnavailable(CROWDED) from None
        try:
            return await self._verify(headers)
        finally:
            self._slots.release()

    @property
    def breaker_open(self) -> bool:
        """Whether SuperOffice has failed several times in a row, and has not answered since."""
        return self._breaker.open

    async def refresh(self) -> None:
        """Do nothing: SuperOffice is asked about each credential again after a while."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _check_app_token(self, app_token: str | None) -> None:
        given = (app_token or "").encode("utf-8", "surrogateescape")
        # It is compared with all tokens, so that the time does not depend on which one matches.
        if self._app_tokens and not sum(hmac.compare_digest(given, token) for token in self._app_tokens):
            raise Forbidden(APP_TOKEN_WRONG)

    def _headers(self, credential: Credential) -> dict[str, str]:
        """Return the header fields that carry *credential*. Raise `NotAuthenticated` for ambiguous characters."""
        wrong = NotAuthenticated(WRONG)
        if isinstance(credential, Basic):
            return {"Authorization": f"Basic {b64encode(f'{credential.user}:{credential.password}'.encode()).decode()}"}
        if isinstance(credential, Bearer):
            return {"Authorization": f"Bearer {_checked(_TOKEN, credential.token, wrong)}"}
        if isinstance(credential, SoTicket):
            return {"Authorization": f"SOTicket {_checked(_TOKEN, credential.ticket, wrong)}"}
        assert isinstance(credential, Session)
        cookie = _checked(_COOKIE_VALUE, credential.cookie, wrong)
        xsrf = _checked(_COOKIE_VALUE, credential.xsrf, wrong)
        return {"Cookie": f"{self._session_cookie}={cookie}; XSRF-TOKEN={xsrf}", "X-XSRF-TOKEN": xsrf}

    async def _verify(self, headers: dict[str, str]) -> Identity:
        if not self._breaker.admits():
            raise VerificationUnavailable(UNAVAILABLE)
        failure = NoAnswer("no answer in time")
        try:
            async with asyncio.timeout(_VERIFY_TIMEOUT):
                identity = await self._retry(headers)
        except TimeoutError:
            pass
        except NoAnswer as error:
            failure = error
        else:
            self._breaker.succeeded()
            self._outage.answered()
            if identity is None:
                raise NotAuthenticated(WRONG)
            return identity
        await self._probe_after(str(failure))
        raise VerificationUnavailable(UNAVAILABLE) from failure

    async def _retry(self, headers: dict[str, str]) -> Identity | None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(NoAnswer),
            stop=stop_after_attempt(_TRIES),
            wait=_RETRY_WAIT,
            reraise=True,
        ):
            with attempt:
                return await self._request(headers)
        raise AssertionError("tenacity returns a result or raises")

    async def _request(self, headers: dict[str, str]) -> Identity | None:
        """Return the identity; None for a refusal. Raise `NoAnswer` for a failure that a retry may cure."""
        begun = time.perf_counter()
        try:
            answer = await self._client.get(self._url, headers)
        finally:
            self._took(time.perf_counter() - begun)
        if answer.status == HTTPStatus.OK:
            return identity_of(answer)
        if answer.status in _REFUSALS:
            return None
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise NoAnswer(f"status {answer.status}", answer.status)
        log.warning("superoffice.unexpected", status=answer.status)
        raise VerificationUnavailable(UNAVAILABLE)

    async def _probe_after(self, reason: str) -> None:
        """Count the failure with *reason*, unless SuperOffice answers a request without a credential.

        A credential may itself make SuperOffice fail. It must not open the circuit breaker for all others.
        """
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                status = (await self._client.get(self._url, {})).status
            answers = status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS
        except (TimeoutError, NoAnswer):
            answers = False
        if not answers:
            self._count_failure(reason)

    def _count_failure(self, reason: str) -> None:
        self._breaker.failed()
        if self._breaker.open and self._outage.failed():
            log.warning("superoffice.unavailable", reason=reason)


def _checked(pattern: re.Pattern[str], text: str, error: Forbidden | NotAuthenticated) -> str:
    if not pattern.fullmatch(text):
        raise error
    return text
