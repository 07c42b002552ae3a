"""The text of the metrics, which the requests of a moment share. This module does not know what the metrics are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_PAUSE = 0.1
"""Seconds from one text to the next. A text takes the time of 50 hits, of all processes' counts more."""


class Scrapes:
    """Makes texts by *flush*, which runs in the event loop, and *text*, which runs in a thread."""

    def __init__(self, flush: Callable[[], None], text: Callable[[], bytes]) -> None:
        self._flush, self._text = flush, text
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None
        self._pause_ends = 0.0

    async def next_text(self) -> bytes:
        """Return a text that is begun after this call, and not within `_PAUSE` seconds of the last one."""
        if self._next is None:
            self._next = asyncio.create_task(self._make())
        return await asyncio.shield(self._next)

    async def _make(self) -> bytes:
        async with self._one_at_a_time:
            await asyncio.sleep(self._pause_ends - time.monotonic())
            self._next = None
            self._flush()  # in the event loop, where requests are counted: another thread would lose counts
            try:
                return await asyncio.to_thread(self._text)  # reads files if there are several processes
            finally:
                self._pause_ends = time.monotonic() + _PAUSE
