"""Commands that are given in one turn of the event loop, sent to the server together."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import Any

from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from service.pictures.ports import CacheUnavailable

Command = tuple[str | bytes | int, ...]

_MOST = 64
"""Commands that travel together: a longer answer would keep the others waiting."""
_PATIENCE = 1.0
"""Seconds that a connection may take for its answers; whoever waits may give up long before."""
_REST = 0.5
"""Seconds without use, after which a connection is looked at before it is used."""
_LATE = 0.005
"""Seconds by which a time-out comes late when the event loop is busy: then the answer may have come, and not been read
yet, and as much time again is given, once."""


class _Lane:
    """A connection, and when it was last used (by time.monotonic)."""

    __slots__ = ("connection", "used_at")

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection, self.used_at = connection, 0.0

    async def ready(self) -> None:
        """Connect, if it is not, or if the server has ended it while it rested."""
        connection = self.connection
        if connection.is_connected:
            if time.monotonic() - self.used_at < _REST or not await connection.can_read():
                return
            await connection.disconnect(nowait=True)
        await connection.connect()  # type: ignore[no-untyped-call]


class Gather:
    """Pipelines over *lanes* connections as *pool* makes them, by the connections themselves: a client's own pipeline
    takes three times as long for each command.

    Whoever asks waits for *timeout* seconds at most. What comes later than that is read and forgotten, so that no
    connection is ever left amid an answer.
    """

    def __init__(self, pool: ConnectionPool, *, lanes: int, timeout: float) -> None:
        self._free = [_Lane(pool.make_connection()) for _ in range(lanes)]  # type: ignore[no-untyped-call]
        self._timeout = timeout
        self._wanted: deque[tuple[Command, asyncio.Future[Any]]] = deque()
        self._sending = self._watching = self._spared = False
        self._asked: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    def ask(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """The server's answer. Raises `CacheUnavailable`, and ResponseError for an answer that says no."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._wanted.append((command, answer))
        self._asked.append((loop.time() + self._timeout, answer))
        if not self._sending:
            self._sending = True
            loop.call_soon(self._send)
        if not self._watching:  # one timer for all: one each costs more than the sending
            self._watching = True
            loop.call_later(self._timeout, self._give_up, self._asked[0][0])
        return answer

    async def close(self) -> None:
        """Wait until what is under way has ended, in its own time, and close the connections."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        for lane in self._free:
            await lane.connection.disconnect()

    def _send(self) -> None:
        self._sending = False
        while self._free and self._wanted:
            batch = [self._wanted.popleft() for _ in range(min(_MOST, len(self._wanted)))]
            batch = [each for each in batch if not each[1].done()]
            if batch:
                task = asyncio.create_task(self._carry(self._free.pop(), batch))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _carry(self, lane: _Lane, batch: list[tuple[Command, asyncio.Future[Any]]]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await lane.ready()
                await _exchange(lane.connection, batch)
        except Exception as error:  # the library's own mistakes too: the cache must never fail a request
            for _, waiting in batch:
                _fail(waiting, CacheUnavailable(f"{type(error).__name__}: {error}"))
            await lane.connection.disconnect(nowait=True)  # it may be amid an answer
        finally:
            lane.used_at = time.monotonic()
            self._free.append(lane)
            if self._wanted:
                self._send()

    def _give_up(self, due: float) -> None:
        """Fail what has been asked for too long; *due* is when this was to be called."""
        loop = asyncio.get_running_loop()
        now, asked = loop.time(), self._asked
        if now - due > _LATE and not self._spared:
            self._spared = True
            loop.call_later(self._timeout, self._give_up, now + self._timeout)
            return
        self._spared = False
        while asked and (asked[0][0] <= now or asked[0][1].done()):
            _fail(asked.popleft()[1], CacheUnavailable(f"no answer within {self._timeout:g} s"))
        self._watching = bool(asked)
        if asked:
            loop.call_later(asked[0][0] - now, self._give_up, asked[0][0])


async def _exchange(connection: AbstractConnection, batch: list[tuple[Command, asyncio.Future[Any]]]) -> None:
    """Send all, and read as many answers."""
    # The connection's own takes ten times as long; and its types know tuples of one only.
    packed = b"".join([pack_command(command) for command, _ in batch])  # type: ignore[arg-type]
    await connection.send_packed_command(packed)
    for _, waiting in batch:
        try:
            answer = await connection.read_response(disable_decoding=True, timeout=math.inf)
        except ResponseError as error:
            _fail(waiting, error)
        else:
            if not waiting.done():
                waiting.set_result(answer)


def _fail(waiting: asyncio.Future[Any], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # whoever asked may have left: fetched, so that asyncio does not warn
