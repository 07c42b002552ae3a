"""Pipelined commands over one connection to a Redis server.

The commands of one turn of the event loop are sent together, and no command waits for the reply to an earlier one.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from hiredis import Reader, pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from service.pictures.ports import CacheUnavailable

Command = tuple[str | bytes | int, ...]
_Pending = tuple[float, asyncio.Future[Any], int]
"""The deadline of a command on the loop's clock, the future of its reply, and the bytes received before the command."""
_Sent = tuple[Command, _Pending]
Greeting = tuple[Command, Callable[[object], None]]
"""The first command of a connection, and what receives its reply. If that raises, the connection is closed."""

_TIMEOUT = 1.0
"""Seconds to connect, and to wait for any reply before the connection is given up."""
_PER_MEBIBYTE = 0.01
"""Seconds that a command has in addition, for each MiB that is received meanwhile."""
_LONGEST = 0.15
"""Seconds that a command has at most, with these. A longer time-out of the pipeline stays as it is."""
_LATE = 0.005
"""Seconds by which a busy event loop delays the timer. After that, unread replies get the time limit once more."""


class ReplyTooLarge(CacheUnavailable):
    """The reply to a command has more bytes than the pipeline reads."""


class Pipeline:
    """Commands to a Redis server, over a connection of *pool*. It works within one event loop.

    A command has *timeout* seconds, and more while bytes are received: its reply may be long, or behind a long one. A
    later reply is read and dropped. The pipeline of the library costs five times as much for each command: it reads
    from streams, and its callers wait for each other.

    A reply of more than *max_reply* bytes is not read to its end. Its connection is closed, *on_too_large* is called
    with the command, and the later commands are sent once more. So they must have no effect that counts twice.

    *greeting* is called for each new connection. The reply to its command is received before all others.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        timeout: float,
        max_reply: int = sys.maxsize,
        on_too_large: Callable[[Command], None] = lambda _: None,
        greeting: Callable[[], Greeting] | None = None,
    ) -> None:
        self._pool, self._timeout, self._greeting = pool, timeout, greeting
        self._max_reply, self._on_too_large = max_reply, on_too_large
        self._most_in_addition = max(0.0, _LONGEST - timeout)
        self._received = 0
        self._unsent: deque[_Sent] = deque()
        self._pending: deque[_Pending] = deque()
        self._send_scheduled = self._timer_running = self._timer_extended = False
        self._connection: _RedisConnection | None = None
        self._connecting = self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Return a future of the server's reply. It raises `CacheUnavailable`, or ResponseError for an error reply."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        if self._closed:  # a render may end after the cache, and leave a mezzanine
            _fail(reply, CacheUnavailable("the connection is closed"))
            return reply
        pending = loop.time() + self._timeout, reply, self._received
        self._unsent.append((command, pending))
        self._pending.append(pending)
        if not self._send_scheduled:
            self._send_scheduled = True
            loop.call_soon(loop.call_soon, self._send)  # after all requests that were read in this turn
        if not self._timer_running:  # one timer for all commands: one each costs more than the sending
            self._timer_running = True
            loop.call_later(self._timeout, self._expire, pending[0])
        return reply

    async def close(self) -> None:
        """Close the connection, after all replies have come or have timed out. Further commands fail at once."""
        self._closed = True
        if unanswered := [reply for _, reply, _ in self._pending if not reply.done()]:
            await asyncio.wait(unanswered)
        await self._settled()  # a connection may still be in the making, after its commands have timed out
        if self._connection is not None:
            self._connection.end(ConnectionError("closed"))
        await self._settled()

    async def _settled(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _send(self) -> None:
        self._send_scheduled = False
        connection = self._connection
        if connection is None or connection.ended:
            self._connection = None
            if all(reply.done() for _, (_, reply, _) in self._unsent):  # all callers are gone: `close` may have ended
                self._unsent.clear()
            elif not self._connecting:
                self._connecting = True
                self._spawn(self._connect())
            return
        commands = []
        for each in self._unsent:
            if not each[1][1].done():
                commands.append(pack_command(each[0]))  # type: ignore[arg-type]  # its stub has only tuples of one
                connection.pending.append(each)
        self._unsent.clear()
        if commands:
            connection.transport.write(b"".join(commands))

    async def _connect(self) -> None:
        made: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(_TIMEOUT):
                await made.connect()  # type: ignore[no-untyped-call]
        except Exception as error:  # errors of the library too: the cache must not fail a request
            await made.disconnect(nowait=True)  # it may be in the middle of its handshake
            while self._unsent:
                _fail(self._unsent.popleft()[1][1], CacheUnavailable(f"{type(error).__name__}: {error}"))
        else:
            self._connection = _RedisConnection(
                made,
                self._greeting() if self._greeting else None,
                self._max_reply,
                self._count,
                self._reply_too_large,
                lambda: self._spawn(made.disconnect(nowait=True)),
            )
        finally:
            self._connecting = False
        if self._unsent:
            self._send()

    def _count(self, size: int) -> None:
        self._received += size

    def _reply_too_large(self, sent: deque[_Sent]) -> None:
        """Give up the first command of *sent*, and send the others once more. Their time begins again."""
        command, (_, reply, _) = sent.popleft()
        _fail(reply, ReplyTooLarge(f"the reply has more than {self._max_reply:,} bytes"))
        due = asyncio.get_running_loop().time() + self._timeout
        again = [(each, (due, reply, self._received)) for each, (_, reply, _) in sent if not reply.done()]
        sent.clear()
        moved = {reply for _, (_, reply, _) in again}
        self._pending = deque(each for each in self._pending if each[1] not in moved)
        self._pending.extend(pending for _, pending in again)
        self._unsent.extendleft(reversed(again))
        self._on_too_large(command)
        asyncio.get_running_loop().call_soon(self._send)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _expire(self, due: float) -> None:
        """Fail the commands whose deadline has passed. *due* is the time at which this call was scheduled."""
        loop = asyncio.get_running_loop()
        now, pending = loop.time(), self._pending
        if now - due > _LATE and not self._timer_extended:
            self._timer_extended = True
            loop.call_later(self._timeout, self._expire, now + self._timeout)
            return
        self._timer_extended = False
        while pending and (pending[0][1].done() or self._deadline(pending[0]) <= now):
            due, reply, _ = pending.popleft()
            if not reply.done():
                _fail(reply, CacheUnavailable(f"no answer within {now - due + self._timeout:.2g} s"))
        if self._connection is not None:
            self._connection.end_if_silent(now - _TIMEOUT + self._timeout)
        self._timer_running = bool(pending)
        if pending:
            due = self._deadline(pending[0])
            loop.call_later(due - now, self._expire, due)

    def _deadline(self, pending: _Pending) -> float:
        due, _, received = pending
        in_addition = (self._received - received) / 1_048_576 * _PER_MEBIBYTE
        return due + min(in_addition, self._most_in_addition)


def take_over(connection: AbstractConnection, protocol: asyncio.Protocol) -> asyncio.WriteTransport:
    """Have *protocol* receive the data of *connection* in place of the library. Return the transport."""
    writer = connection._writer  # the library has no public way to its transport
    assert writer is not None
    writer.transport.set_protocol(protocol)
    return writer.transport


class _RedisConnection(asyncio.Protocol):
    """A connection of the library, and the commands that were sent over it, in order."""

    def __init__(
        self,
        connection: AbstractConnection,
        greeting: Greeting | None,
        max_reply: int,
        on_data: Callable[[int], None],
        on_too_large: Callable[[deque[_Sent]], None],
        on_end: Callable[[], None],
    ) -> None:
        self.transport, self._on_end = take_over(connection, self), on_end
        self._reader = Reader(replyError=ResponseError, notEnoughData=_RedisConnection)
        self._max_reply, self._on_data, self._on_too_large = max_reply, on_data, on_too_large
        self._on_greeting: Callable[[object], None] | None = None
        if greeting is not None:
            command, self._on_greeting = greeting
            self.transport.write(pack_command(command))  # type: ignore[arg-type]  # its stub has only tuples of one
        self.pending: deque[_Sent] = deque()
        self.ended = False

    def data_received(self, data: bytes) -> None:
        self._on_data(len(data))
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _RedisConnection:
                if (on_greeting := self._on_greeting) is not None:
                    self._on_greeting = None
                    on_greeting(answer)
                    continue
                reply = self.pending.popleft()[1][1]
                if reply.done():
                    continue
                if isinstance(answer, ResponseError):
                    _fail(reply, answer)
                else:
                    reply.set_result(answer)
            if self._reader.len() > self._max_reply:
                if self.pending:
                    self._on_too_large(self.pending)
                self.end(ConnectionError("a reply is too large"))
        except Exception as error:  # not a Redis server, or a reply without a command: no reply can be trusted
            self.end(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.end(error or ConnectionError("the server has closed the connection"))

    def end_if_silent(self, due: float) -> None:
        """End the connection if the deadline of its oldest command was before *due*."""
        if self.pending and self.pending[0][1][0] < due:
            self.end(TimeoutError(f"no answer within {_TIMEOUT:g} s"))

    def end(self, error: Exception) -> None:
        """Close the connection. Its commands fail with *error*."""
        if self.ended:
            return
        self.ended = True
        while self.pending:
            _fail(self.pending.popleft()[1][1], CacheUnavailable(f"{type(error).__name__}: {error}"))
        self.transport.abort()
        self._on_end()


def _fail(reply: asyncio.Future[Any], error: Exception) -> None:
    if not reply.done():
        reply.set_exception(error)
        reply.exception()  # its caller may have been cancelled: asyncio warns of exceptions that are not retrieved
