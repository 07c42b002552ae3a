"""The keys that an identity provider publishes (JWKS by URL): cached, rotated, and kept through an outage."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

import structlog

from service.access.ports import UNAVAILABLE
from service.access.verifiers.client import Client, Unanswered
from service.access.verifiers.keys import BadKeys, Key, keys_of_jwks
from service.errors import VerificationUnavailable

log = structlog.get_logger()


class PublishedKeys:
    """The keys at *url*, fetched when they are first needed, by one caller for all. All times are in seconds.

    After *fresh_for* they are fetched again; while they cannot be, they are used until they are *kept_for* old. Between
    two fetches there is a *pause*, however many tokens name unknown keys.
    """

    def __init__(self, url: str, *, fresh_for: float = 600.0, kept_for: float = 86_400.0, pause: float = 10.0) -> None:
        self._url = url
        self._fresh_for, self._kept_for, self._pause = fresh_for, kept_for, pause
        self._client = Client(connections=1)
        self._fetching = asyncio.Lock()
        self._keys: tuple[Key, ...] = ()
        self._fetched = self._tried = float("-inf")

    async def current(self) -> tuple[Key, ...]:
        """The keys, fresh if that can be. Raises `VerificationUnavailable` where there are none, or too old ones."""
        if self._age() > self._fresh_for:
            await self._fetch()
        if self._age() > self._kept_for:
            raise VerificationUnavailable(UNAVAILABLE)
        return self._keys

    async def newer(self) -> tuple[Key, ...]:
        """The keys, fetched anew unless that was tried a moment ago. Raises `VerificationUnavailable`."""
        await self._fetch()
        return await self.current()

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def _age(self) -> float:
        return time.monotonic() - self._fetched

    async def _fetch(self) -> None:
        async with self._fetching:  # bounded by the client's time-out
            if time.monotonic() - self._tried < self._pause:
                return
            self._tried = time.monotonic()
            try:
                answer = await self._client.get(self._url, {"Accept": "application/jwk-set+json, application/json"})
                if answer.status != HTTPStatus.OK:
                    raise Unanswered(f"status {answer.status}")
                self._keys, self._fetched = keys_of_jwks(answer.body), time.monotonic()
            except (Unanswered, BadKeys) as error:
                log.warning("jwks.unavailable", reason=str(error))
