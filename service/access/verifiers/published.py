"""The keys that an identity provider publishes (a JWKS at a URL), cached and kept through an outage."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

import structlog

from service.access.ports import UNAVAILABLE
from service.access.verifiers.client import Client, NoAnswer
from service.access.verifiers.keys import BadKeys, Key, keys_of_jwks, succeed
from service.errors import VerificationUnavailable

log = structlog.get_logger()


class PublishedKeys:
    """The keys at *url*, fetched when they are first needed. Concurrent callers share a fetch.

    Keys are fetched again when they are *fresh_for* seconds old. If that fails, they are used until they are *kept_for*
    seconds old. At least *pause* seconds lie between two fetches, however many tokens name unknown keys.
    """

    def __init__(self, url: str, *, fresh_for: float = 600.0, kept_for: float = 86_400.0, pause: float = 10.0) -> None:
        self._url = url
        self._fresh_for, self._kept_for, self._pause = fresh_for, kept_for, pause
        self._client = Client(connections=1)
        self._fetching = asyncio.Lock()
        self._keys: tuple[Key, ...] = ()
        self._failure: Exception | None = None  # of the last fetch
        self._fetched_at = self._tried_at = float("-inf")

    async def current(self) -> tuple[Key, ...]:
        """Return the keys. Raise `VerificationUnavailable` when there are none, or they are too old."""
        if self._age() > self._fresh_for:
            await self._fetch()
        if self._age() > self._kept_for:
            raise VerificationUnavailable(UNAVAILABLE) from self._failure
        return self._keys

    async def newer(self) -> tuple[Key, ...]:
        """Return the keys, fetched now unless the pause is not over. Raise `VerificationUnavailable`."""
        await self._fetch()
        return await self.current()

    async def refresh(self) -> None:
        """See `Keys`: fetch keys that are not fresh, if any were needed so far."""
        if self._keys and self._age() > self._fresh_for:
            await self._fetch()

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def _age(self) -> float:
        return time.monotonic() - self._fetched_at

    async def _fetch(self) -> None:
        async with self._fetching:  # the client's time-out bounds the wait
            if time.monotonic() - self._tried_at < self._pause:
                return
            self._tried_at = time.monotonic()
            try:
                answer = await self._client.get(self._url, {"Accept": "application/jwk-set+json, application/json"})
                if answer.status != HTTPStatus.OK:
                    raise NoAnswer(f"status {answer.status}")
                self._keys, self._fetched_at = succeed(self._keys, keys_of_jwks(answer.body)), time.monotonic()
            except (NoAnswer, BadKeys) as error:
                self._failure = error
                log.warning("jwks.unavailable", reason=str(error))
