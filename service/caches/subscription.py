"""The subscription to the fleet's channel. This module does not interpret the messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from hiredis import Reader, pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from service.caches.pipeline import take_over
from service.ending import end

log = structlog.get_logger()

_PING_AFTER = 0.25
"""Seconds without a message, after which the server is pinged."""
_TIMEOUT = 1.0
"""Seconds without a reply, after which the subscription is down."""
_MAX_SILENCE = 30.0
"""Seconds without a reply, after which another connection is made: the host of the server may be gone."""
_PAUSE = 0.25
"""Seconds between two attempts to subscribe."""
_MAX_MESSAGE = 4_096
"""Bytes of a message. The messages of the fleet are shorter."""
_MAX_UNPARSED = 2 * _MAX_MESSAGE
"""Bytes of a reply that has not arrived as a whole: a message, the name of its channel, and what is read already."""
_TOO_LONG = f"a message has more than {_MAX_MESSAGE:,} bytes"


class Subscription:
    """A subscription to *channel*, renewed in the background until it is closed.

    *on_message* is called with every message, and *on_change* with whether the subscription is up. It is down, too,
    while the server does not answer: then messages are late. *on_loss* is called when a new connection is subscribed,
    since messages between two connections are lost. *explain* returns a clearer reason for a failure than the error of
    the library, or None.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        channel: str,
        on_message: Callable[[str], None],
        on_change: Callable[[bool], None],
        on_loss: Callable[[], None],
        explain: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._pool, self._channel = pool, channel
        self._on_message, self._on_change, self._on_loss, self._explain = on_message, on_change, on_loss, explain
        self._confirmed = self._up = False
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End the subscription."""
        await end(self._task)

    async def _run(self) -> None:
        logged = ""
        while True:
            reason = ""
            try:
                await self._receive()
            except TimeoutError:
                reason = f"no answer within {_TIMEOUT:g} s"
            except Exception as error:  # errors of the library too: this loop must not end
                reason = f"{type(error).__name__}: {error}"
            finally:
                self._confirmed = False
                self._change(up=False)
            if reason and reason != logged:
                log.warning("cache.no_news", reason=await self._explain() or reason)
            logged = reason
            await asyncio.sleep(_PAUSE)

    async def _receive(self) -> None:
        """Receive messages until the server is silent for long. Raise if it cannot be reached or hangs up."""
        made: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(_TIMEOUT):
                await made.connect()  # type: ignore[no-untyped-call]
            connection = _SubscribedConnection(made, self._on_reply)
            connection.send("SUBSCRIBE", self._channel, within=_TIMEOUT)
            while True:
                awaited = connection.awaited_until
                due = connection.received_at + _PING_AFTER if awaited is None else awaited
                if (left := due - time.monotonic()) > 0:
                    await asyncio.wait((connection.ended,), timeout=left)
                    if connection.ended.done():
                        raise connection.ended.result()
                elif awaited is None:
                    connection.send("PING", within=_TIMEOUT - _PING_AFTER)
                else:
                    if self._up or not self._confirmed:
                        log.warning("cache.no_news", reason=f"no answer for {_TIMEOUT:g} s")
                    if not self._confirmed or time.monotonic() - connection.received_at > _MAX_SILENCE:
                        break
                    self._change(up=False)
                    connection.awaited_until = time.monotonic() + _TIMEOUT
        finally:
            await made.disconnect(nowait=True)

    def _change(self, *, up: bool) -> None:
        self._up = up
        self._on_change(up)

    def _on_reply(self, reply: object) -> None:
        match reply:
            case [b"subscribe", *_]:
                self._confirmed = True
                self._on_loss()
                self._change(up=True)
            case [b"pong", *_] if not self._up:  # it follows all messages of the silence
                self._change(up=True)
            case [b"message", _, bytes(data)]:
                if len(data) > _MAX_MESSAGE:
                    raise ConnectionError(_TOO_LONG)
                self._on_message(data.decode(errors="replace"))
            case ResponseError():
                raise reply


class _SubscribedConnection(asyncio.Protocol):
    """A connection of the library, whose replies are given to *on_reply* as they arrive.

    *received_at* is the `time.monotonic()` of the last reply, and *awaited_until* that at which the next one is late;
    None if no command is unanswered. *ended* has the reason when the connection has ended.
    """

    def __init__(self, connection: AbstractConnection, on_reply: Callable[[object], None]) -> None:
        self._transport, self._on_reply = take_over(connection, self), on_reply
        self._reader = Reader(replyError=ResponseError, notEnoughData=_SubscribedConnection)
        self.received_at = time.monotonic()
        self.awaited_until: float | None = None
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def send(self, *command: str, within: float) -> None:
        """Send *command*, whose reply is late after *within* seconds."""
        self._transport.write(pack_command(command))  # type: ignore[arg-type]  # its stub has only tuples of one
        self.awaited_until = time.monotonic() + within

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _SubscribedConnection:
                self.received_at, self.awaited_until = time.monotonic(), None
                self._on_reply(reply)
            if self._reader.len() > _MAX_UNPARSED:  # the rest of the message is not read
                raise ConnectionError(_TOO_LONG)
        except Exception as error:  # not a Redis server, or a message that is too long
            self._end(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionError("the server has closed the connection"))

    def _end(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
            self._transport.abort()
