"""Requests that are answered where their bytes arrive, or where the reply to a lookup does, without a task.

For each request aiohttp wakes the task of its connection, which makes another. That is a third of what a hit in Redis
costs, and half of what one in memory does.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage

log = structlog.get_logger()

_LONGEST_LOOKUP = 10.0
"""Seconds that are more than the longest lookup takes."""

Steps = Coroutine[asyncio.Future[Any], None, bool]
"""A coroutine that awaits futures, and nothing that needs a task, such as a time-out."""
AnswerAtOnce = Callable[[asyncio.WriteTransport, RawRequestMessage], bool | Steps]
"""A function that answers a request that needs no task, or returns a coroutine that does. The function, or the
coroutine, returns False or raises if it has not answered."""


class UntaskedServer(web.Server):
    """A server whose connections call *answer_at_once*."""

    answer_at_once: AnswerAtOnce


class UntaskedConnection(web.RequestHandler):
    """A client's connection, which answers without a task what *server* can answer so.

    *waiting* is the task or the coroutine that waits for the answer to a request. A loss of the connection cancels it.
    """

    __slots__ = ("_untasked_server", "waiting")

    def __init__(self, server: UntaskedServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._untasked_server = server
        self.waiting: asyncio.Task[object] | _Running | None = None

    def data_received(self, data: bytes) -> None:
        waiter, self._waiter = self._waiter, None  # so that a request that needs no task does not wake the connection's
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if waiter is not None and not waiter.done() and self._messages and not self._begin_answer(waiter):
            waiter.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.waiting is not None:
            self.waiting.cancel()

    @abstractmethod
    def mark_busy(self) -> None:
        """Note that the header of a request is complete."""

    @abstractmethod
    def mark_idle(self) -> None:
        """Note that the answer is being sent: the next bytes are another header."""

    def _begin_answer(self, waiter: asyncio.Future[None]) -> bool:
        """Answer the only request of a connection that has answered others before, or begin to, if that needs no task.

        Until the answer ends, the message stays the first one, and *waiter*, which wakes the task of the connection, is
        not in its place. So later requests and a stop wait, and the task answers if this way cannot.
        """
        transport = self.transport
        if len(self._messages) > 1 or self._keepalive_handle is None or self.writing_paused or transport is None:
            return False
        message, payload = self._messages[0]
        if not isinstance(message, RawRequestMessage) or not payload.is_eof() or transport.is_closing():
            return False
        try:
            answer = self._untasked_server.answer_at_once(transport, message)
        except Exception:  # the task answers, with 500 if that fails, too
            log.exception("request.failed")
            return False
        if isinstance(answer, bool):
            if answer:
                self._take_answered()
            return answer
        self._waiter = None
        self._next_keepalive_close_time = time.monotonic() + _LONGEST_LOOKUP  # its timer may run out meanwhile
        self.mark_busy()
        self.waiting = _Running(answer, partial(self._end_answer, waiter))
        self.waiting.step()
        return True

    def _end_answer(self, waiter: asyncio.Future[None], result: bool | BaseException) -> None:
        """Take the *result* of a coroutine that was to answer the first message."""
        self.waiting, self._waiter = None, waiter
        if isinstance(result, Exception):
            log.error("request.failed", exc_info=result)
        if self.transport is None:
            waiter.cancel()
        elif result is not True:
            waiter.set_result(None)
        else:
            self._take_answered()
            if self._close:
                self.force_close()  # after what is written
            elif self._messages:
                waiter.set_result(None)

    def _take_answered(self) -> None:
        """Take the first message, which is answered."""
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        self._next_keepalive_close_time = time.monotonic() + self.keepalive_timeout
        self.mark_idle()


class _Running:
    """A coroutine of *steps*, each of which runs in a callback of the future that the one before awaits.

    *end* is called with the result, or with the exception.
    """

    __slots__ = ("_awaited", "_end", "_steps")

    def __init__(self, steps: Steps, end: Callable[[bool | BaseException], None]) -> None:
        self._steps, self._end = steps, end
        self._awaited: asyncio.Future[Any] | None = None

    def step(self, _: object = None) -> None:
        """Run the coroutine until it awaits a future, or ends."""
        result: bool | BaseException
        try:
            self._awaited = self._steps.send(None)
        except StopIteration as ended:
            result = ended.value
        except (Exception, asyncio.CancelledError) as error:
            result = error
        else:
            self._awaited.add_done_callback(self.step)
            return
        self._end(result)

    def cancel(self) -> None:
        """Raise CancelledError in the coroutine."""
        if self._awaited is not None:
            self._awaited.cancel()
