"""Pipelined commands over one connection to a Redis server.

The commands of one turn of the event loop are sent together, and no command waits for the reply to an earlier one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from service.caches.replies import Incomplete, ReplyBuffer, TooLong
from service.pictures.ports import CacheUnavailable

Command = tuple[str | bytes | int, ...]
Read = Callable[[Any], Any]
"""A function that makes the result of a reply whose bulk strings are views of a buffer, which is overwritten later."""
_Asked = tuple[list[float], asyncio.Future[Any], int, Command, Read | None]
"""A list of the deadline of a command on the loop's clock, the future of its result, the bytes received before the
command, the command, and the function that reads its reply. Commands that are sent together share the list."""
Greeting = tuple[Command, Callable[[object], None]]
"""The first command of a connection, and what receives its reply. If that raises, the connection is closed."""

_TIMEOUT = 1.0
"""Seconds to connect, and to wait for any reply before the connection is given up."""
_PER_MEBIBYTE = 0.01
"""Seconds that a command has in addition, for each MiB that is received meanwhile."""
_LONGEST = 0.15
"""Seconds that a command has at most, with these. A longer time-out of the pipeline stays as it is."""


class ReplyTooLarge(CacheUnavailable):
    """The reply to a command has more bytes than the pipeline reads."""


class Pipeline:
    """Commands to a Redis server, over a connection of *pool*. It works within one event loop.

    A command has *timeout* seconds from its sending, and more while bytes are received: its reply may be long, or
    behind a long one. What has arrived by then is read first, so that a busy event loop is no failure of the server. A
    later reply is read and dropped. The pipeline of the library costs five times as much for each command: it reads
    from streams, and its callers wait for each other.

    A reply of more than *max_reply* bytes is not read to its end, and its connection is closed. With *on_too_large*,
    that is called with the command, and the later commands are sent once more. So they must have no effect that counts
    twice.

    *greeting* is called for each new connection. The reply to its command is received before all others.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        timeout: float,
        max_reply: int,
        on_too_large: Callable[[Command], None] | None = None,
        greeting: Callable[[], Greeting] | None = None,
    ) -> None:
        self._pool, self._timeout, self._greeting = pool, timeout, greeting
        self._loop: asyncio.AbstractEventLoop | None = None  # to ask for the running one is a system call
        self._max_reply, self._on_too_large = max_reply, on_too_large
        self._most_in_addition = max(0.0, _LONGEST - timeout)
        self._received = 0
        self._unsent: deque[_Asked] = deque()
        self._pending: deque[_Asked] = deque()
        self._deadline_unsent = [inf]
        self._send_scheduled = self._timer_running = False
        self._connection: _RedisConnection | None = None
        self._connecting = self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, *command: str | bytes | int, read: Read | None = None) -> asyncio.Future[Any]:
        """Return a future of the server's reply. It raises `CacheUnavailable`, or ResponseError for an error reply.

        With *read*, the future is of what this function returns for the reply. It may raise `CacheUnavailable`.
        """
        if (loop := self._loop) is None:
            loop = self._loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        if self._closed:  # a render may end after the cache, and leave a mezzanine
            _fail(reply, CacheUnavailable("the connection is closed"))
            return reply
        asked = self._deadline_unsent, reply, self._received, command, read
        self._unsent.append(asked)
        while self._pending and self._pending[0][1].done():  # each holds a body
            self._pending.popleft()
        self._pending.append(asked)
        if not self._send_scheduled:
            self._send_scheduled = True
            loop.call_soon(loop.call_soon, self._send)  # after all requests that were read in this turn
        if not self._timer_running:  # one timer for all commands: one each costs more than the sending
            self._timer_running = True
            loop.call_later(self._timeout, self._look)
        return reply

    async def close(self) -> None:
        """Close the connection, after all replies have come or have timed out. Further commands fail at once."""
        self._closed = True
        if unanswered := [each[1] for each in self._pending if not each[1].done()]:
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
        assert self._loop is not None
        self._deadline_unsent[0] = self._loop.time() + self._timeout
        self._deadline_unsent = [inf]
        connection = self._connection
        if connection is None or connection.ended:
            self._connection = None
            if all(each[1].done() for each in self._unsent):  # all callers are gone: `close` may have ended
                self._unsent.clear()
            elif not self._connecting:
                self._connecting = True
                self._spawn(self._connect())
            return
        commands = []
        for each in self._unsent:
            if not each[1].done():
                commands.append(pack_command(each[3]))  # type: ignore[arg-type]  # its stub has only tuples of one
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
                _fail(self._unsent.popleft()[1], CacheUnavailable(f"{type(error).__name__}: {error}"))
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

    def _reply_too_large(self, sent: deque[_Asked]) -> None:
        """Give up the first command of *sent*, and send the others once more. Their time begins again."""
        if self._on_too_large is None:
            return
        _, reply, _, command, _ = sent.popleft()
        _fail(reply, ReplyTooLarge(f"the reply has more than {self._max_reply:,} bytes"))
        due = [asyncio.get_running_loop().time() + self._timeout]
        again = [(due, each[1], self._received, *each[3:]) for each in sent if not each[1].done()]
        sent.clear()
        moved = {each[1] for each in again}
        self._pending = deque(each for each in self._pending if each[1] not in moved)
        self._pending.extend(again)
        self._unsent.extendleft(reversed(again))
        self._on_too_large(command)
        asyncio.get_running_loop().call_soon(self._send)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look(self) -> None:
        """Have commands fail whose deadline has passed, after the replies that have arrived were read."""
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._expire, loop.time())

    def _expire(self, now: float) -> None:
        """Fail the commands whose deadline was before *now*."""
        loop, pending = asyncio.get_running_loop(), self._pending
        while pending and (pending[0][1].done() or self._deadline(pending[0]) <= now):
            (due,), reply, *_ = pending.popleft()
            if not reply.done():
                _fail(reply, CacheUnavailable(f"no answer within {now - due + self._timeout:.2g} s"))
        if self._connection is not None:
            self._connection.end_if_silent(now - _TIMEOUT + self._timeout)
        self._timer_running = bool(pending)
        if pending:
            loop.call_later(min(self._deadline(pending[0]) - loop.time(), self._timeout), self._look)

    def _deadline(self, asked: _Asked) -> float:
        (due,), _, received, *_ = asked
        in_addition = (self._received - received) / 1_048_576 * _PER_MEBIBYTE
        return due + min(in_addition, self._most_in_addition)


def take_over(connection: AbstractConnection, protocol: asyncio.BaseProtocol) -> asyncio.WriteTransport:
    """Have *protocol* receive the data of *connection* in place of the library. Return the transport."""
    writer = connection._writer  # the library has no public way to its transport
    assert writer is not None
    writer.transport.set_protocol(protocol)
    return writer.transport


class _RedisConnection(asyncio.BufferedProtocol):
    """A connection of the library, and the commands that were sent over it, in order."""

    def __init__(
        self,
        connection: AbstractConnection,
        greeting: Greeting | None,
        max_reply: int,
        on_data: Callable[[int], None],
        on_too_large: Callable[[deque[_Asked]], None],
        on_end: Callable[[], None],
    ) -> None:
        self._replies, self._on_data, self._on_too_large = ReplyBuffer(max_reply), on_data, on_too_large
        self.transport, self._on_end = take_over(connection, self), on_end
        self._on_greeting: Callable[[object], None] | None = None
        if greeting is not None:
            command, self._on_greeting = greeting
            self.transport.write(pack_command(command))  # type: ignore[arg-type]  # its stub has only tuples of one
        self.pending: deque[_Asked] = deque()
        self.ended = False

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._replies.space()

    def buffer_updated(self, nbytes: int) -> None:
        self._on_data(nbytes)
        replies, pending = self._replies, self.pending
        replies.received(nbytes)
        try:
            if (on_greeting := self._on_greeting) is not None:
                answer = replies.take(bytes)
                self._on_greeting = None
                on_greeting(answer)
            while True:
                read = pending[0][4] if pending else None
                answer = replies.take(memoryview if read else bytes)
                reply = pending.popleft()[1]
                if reply.done():
                    continue
                if isinstance(answer, ResponseError):
                    _fail(reply, answer)
                elif read is None:
                    reply.set_result(answer)
                else:
                    try:
                        reply.set_result(read(answer))
                    except CacheUnavailable as error:
                        _fail(reply, error)
        except Incomplete:
            pass
        except TooLong:
            if pending:
                self._on_too_large(pending)
            self.end(ConnectionError("a reply is too large"))
        except Exception as error:  # not a Redis server, or a reply without a command: no reply can be trusted
            self.end(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.end(error or ConnectionError("the server has closed the connection"))

    def end_if_silent(self, due: float) -> None:
        """End the connection if the deadline of its oldest command was before *due*."""
        if self.pending and self.pending[0][0][0] < due:
            self.end(TimeoutError(f"no answer within {_TIMEOUT:g} s"))

    def end(self, error: Exception) -> None:
        """Close the connection. Its commands fail with *error*."""
        if self.ended:
            return
        self.ended = True
        while self.pending:
            _fail(self.pending.popleft()[1], CacheUnavailable(f"{type(error).__name__}: {error}"))
        self.transport.abort()
        self._on_end()


def _fail(reply: asyncio.Future[Any], error: Exception) -> None:
    if not reply.done():
        reply.set_exception(error)
        reply.exception()  # its caller may have been cancelled: asyncio warns of exceptions that are not retrieved
