"""The subscription to the fleet's channel. This module does not interpret the messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis

log = structlog.get_logger()

_PING_AFTER = 0.25
"""Seconds without a message, after which the server is pinged."""
_TIMEOUT = 1.0
"""Seconds without a reply, after which the subscription is down."""
_PAUSE = 0.25
"""Seconds between two attempts to subscribe."""


class Subscription:
    """A subscription to *channel*, renewed in the background until it is closed.

    *on_message* is called with every message, and *on_change* with whether the subscription is up. Messages that are
    sent while it is down are lost. *explain* returns a clearer reason for a failure than the library's error, or None.
    """

    def __init__(
        self,
        client: Redis,
        channel: str,
        on_message: Callable[[str], None],
        on_change: Callable[[bool], None],
        explain: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._client, self._channel = client, channel
        self._on_message, self._on_change, self._explain = on_message, on_change, explain
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End the subscription."""
        while not self._task.done():
            self._task.cancel()  # repeated, because the library swallows a cancellation during a time-out of its own
            await asyncio.wait((self._task,), timeout=_PING_AFTER)

    async def _run(self) -> None:
        logged = ""
        while True:
            reason = ""
            try:
                await self._receive()
            except Exception as error:  # errors of the library too: this loop must not end
                reason = f"{type(error).__name__}: {error}"
            finally:
                self._on_change(False)
            if reason and reason != logged:
                log.warning("cache.no_news", reason=await self._explain() or reason)
            logged = reason
            await asyncio.sleep(_PAUSE)

    async def _receive(self) -> None:
        """Receive messages until the server is silent. Raise when it cannot be reached, or the connection ends."""
        subscription = self._client.pubsub()
        try:
            async with asyncio.timeout(_TIMEOUT):
                await subscription.subscribe(self._channel)
            received_at, pinged = time.monotonic(), True  # the confirmation of the subscription is awaited like a pong
            while time.monotonic() - received_at < _TIMEOUT:
                message = await subscription.get_message(timeout=_PING_AFTER)
                if message is None:
                    if not pinged:
                        async with asyncio.timeout(_TIMEOUT):
                            await subscription.ping()
                        pinged = True
                    continue
                received_at, pinged = time.monotonic(), False
                if message["type"] == "subscribe":
                    self._on_change(True)
                elif message["type"] == "message":
                    self._on_message(message["data"].decode(errors="replace"))
            log.warning("cache.no_news", reason=f"no answer for {_TIMEOUT} s")
        finally:
            await subscription.aclose()  # type: ignore[no-untyped-call]
