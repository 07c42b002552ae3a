"""What other processes tell: which contacts were purged, and which renditions have arrived. Knows no cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis

log = structlog.get_logger()

_QUIET = 0.25
"""Seconds without a message, before the server is asked whether it is there."""
_SILENT = 1.0
"""Seconds without an answer, after which the subscription is down."""
_PAUSE = 0.25
"""Seconds before another try."""


class Subscription:
    """A subscription to *channel*, kept up in the background.

    *heard* is told each message, *changed* whether the subscription is up; what was said while it was down is lost.
    *explain* gives a reason that is clearer than the library's error, if there is one.
    """

    def __init__(
        self,
        client: Redis,
        channel: str,
        heard: Callable[[str], None],
        changed: Callable[[bool], None],
        explain: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._client, self._channel = client, channel
        self._heard, self._changed, self._explain = heard, changed, explain
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """End the subscription."""
        while not self._task.done():
            self._task.cancel()  # the library swallows one that meets a time-out of its own
            await asyncio.wait((self._task,), timeout=_QUIET)

    async def _listen(self) -> None:
        told = ""
        while True:
            reason = ""
            try:
                await self._follow()
            except Exception as error:  # the library's own mistakes too: whoever is deaf must not stay so
                reason = f"{type(error).__name__}: {error}"
            finally:
                self._changed(False)
            if reason and reason != told:
                log.warning("cache.no_news", reason=await self._explain() or reason)
            told = reason
            await asyncio.sleep(_PAUSE)

    async def _follow(self) -> None:
        """Listen until nothing answers any more. Raises when the server cannot be reached, or the connection ends."""
        subscription = self._client.pubsub()
        try:
            async with asyncio.timeout(_SILENT):
                await subscription.subscribe(self._channel)
            heard_at, asked = time.monotonic(), True  # the subscription's own confirmation is what is waited for
            while time.monotonic() - heard_at < _SILENT:
                message = await subscription.get_message(timeout=_QUIET)
                if message is None:
                    if not asked:
                        async with asyncio.timeout(_SILENT):
                            await subscription.ping()
                        asked = True
                    continue
                heard_at, asked = time.monotonic(), False
                if message["type"] == "subscribe":
                    self._changed(True)
                elif message["type"] == "message":
                    self._heard(message["data"].decode(errors="replace"))
            log.warning("cache.no_news", reason=f"no answer for {_SILENT} s")
        finally:
            await subscription.aclose()  # type: ignore[no-untyped-call]
