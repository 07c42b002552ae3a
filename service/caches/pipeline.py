"""One connection for many who ask at once: what is asked in a turn of the event loop is sent together, and nobody's
answer is waited for before the next is sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from hiredis import Reader, pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from service.pictures.ports import CacheUnavailable

Command = tuple[str | bytes | int, ...]
_Asked = tuple[float, asyncio.Future[Any]]

_PATIENCE = 1.0
"""Seconds that the server may take to be connected to, or to answer, before the connection is given up."""
_LATE = 0.005
"""Seconds by which a time-out comes late when the event loop is busy: then the answer may have come, and not been read
yet, and as much time again is given, once."""


class Pipeline:
    """Commands to a Redis server, by a connection as *pool* makes them. Works within one event loop.

    Whoever asks waits for *timeout* seconds at most. What comes later than that is read and forgotten. The library's
    own pipeline costs five times as much for each command: it reads by streams, and keeps others waiting for its turn.
    """

    def __init__(self, pool: ConnectionPool, *, timeout: float) -> None:
        self._pool, self._timeout = pool, timeout
        self._wanted: deque[tuple[Command, _Asked]] = deque()
        self._asked: deque[_Asked] = deque()
        self._sending = self._watching = self._spared = False
        self._line: _Line | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting = False

    def ask(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """The server's answer. Raises `CacheUnavailable`, and ResponseError for an answer that says no."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        asked = loop.time() + self._timeout, answer
        self._wanted.append((command, asked))
        self._asked.append(asked)
        if not self._sending:
            self._sending = True
            loop.call_soon(loop.call_soon, self._send)  # once all that was read in this turn has been asked
        if not self._watching:  # one timer for all: one for each costs more than the sending
            self._watching = True
            loop.call_later(self._timeout, self._watch, asked[0])
        return answer

    async def close(self) -> None:
        """Close the connection, once all answers have come or their time is over."""
        if unanswered := [answer for _, answer in self._asked if not answer.done()]:
            await asyncio.wait(unanswered)
        await self._settled()  # a connection may be in the making, later than anybody waits for it
        if self._line is not None:
            self._line.end(ConnectionError("closed"))
        await self._settled()

    async def _settled(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _send(self) -> None:
        self._sending = False
        if self._line is None or self._line.ended:
            self._line = None
            if not self._connecting:
                self._connecting = True
                self._spawn(self._connect())
            return
        commands = []
        for command, asked in self._wanted:
            if not asked[1].done():
                commands.append(pack_command(command))  # type: ignore[arg-type]  # it knows tuples of one only
                self._line.pending.append(asked)
        self._wanted.clear()
        if commands:
            self._line.transport.write(b"".join(commands))

    async def _connect(self) -> None:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(_PATIENCE):
                await connection.connect()  # type: ignore[no-untyped-call]
        except Exception as error:  # the library's own mistakes too: the cache must never fail a request
            await connection.disconnect(nowait=True)  # it may be amid its handshake
            while self._wanted:
                _fail(self._wanted.popleft()[1][1], CacheUnavailable(f"{type(error).__name__}: {error}"))
        else:
            self._line = _Line(connection, lambda: self._spawn(connection.disconnect(nowait=True)))
        finally:
            self._connecting = False
        if self._wanted:
            self._send()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _watch(self, due: float) -> None:
        """Fail what has been asked for too long; *due* is when this was to be called."""
        loop = asyncio.get_running_loop()
        now, asked = loop.time(), self._asked
        if now - due > _LATE and not self._spared:
            self._spared = True
            loop.call_later(self._timeout, self._watch, now + self._timeout)
            return
        self._spared = False
        while asked and (asked[0][0] <= now or asked[0][1].done()):
            _, answer = asked.popleft()
            if not answer.done():
                _fail(answer, CacheUnavailable(f"no answer within {self._timeout:g} s"))
        if self._line is not None:
            self._line.give_up(now - _PATIENCE + self._timeout)
        self._watching = bool(asked)
        if asked:
            loop.call_later(asked[0][0] - now, self._watch, asked[0][0])


class _Line(asyncio.Protocol):
    """A connection that the library has made, and what is asked over it, in order."""

    def __init__(self, connection: AbstractConnection, ended: Callable[[], None]) -> None:
        writer = connection._writer  # the library has no other way to its transport
        assert writer is not None
        self.transport, self._tell = writer.transport, ended
        self._reader = Reader(replyError=ResponseError, notEnoughData=_Line)
        self.pending: deque[_Asked] = deque()
        self.ended = False
        self.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _Line:
                waiting = self.pending.popleft()[1]
                if waiting.done():
                    continue
                if isinstance(answer, ResponseError):
                    _fail(waiting, answer)
                else:
                    waiting.set_result(answer)
        except Exception as error:  # no Redis server's answer, or one too many: nothing on this line can be believed
            self.end(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.end(error or ConnectionError("the server has closed the connection"))

    def give_up(self, due: float) -> None:
        """End the line if what is asked for longest was due before *due*, by the loop's clock."""
        if self.pending and self.pending[0][0] < due:
            self.end(TimeoutError(f"no answer within {_PATIENCE:g} s"))

    def end(self, error: Exception) -> None:
        """Close it; whoever waits for an answer is told *error*."""
        if self.ended:
            return
        self.ended = True
        while self.pending:
            _fail(self.pending.popleft()[1], CacheUnavailable(f"{type(error).__name__}: {error}"))
        self.transport.abort()
        self._tell()


def _fail(waiting: asyncio.Future[Any], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # whoever asked may have left: fetched, so that asyncio does not warn
