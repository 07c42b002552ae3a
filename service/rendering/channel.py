"""The socket between the service and one render process: calls and descriptors go there, results come back.

A message is its length and a pickled object. Render processes import this module.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_LENGTH = struct.Struct("!I")
"""Bytes of a message's length."""
_RECEIVED = 65_536
"""Bytes of the first read of a message. Most renditions are smaller."""
_RECEIVED_MORE = 262_144
"""Bytes of each further read, more than the buffer of a socket has."""
_CALLS = 128
"""Packed calls that are kept. Requests ask for few sizes, and to pack an order takes longer than to send it."""


class Channel:
    """The end of the service, which sends a call when it has the result of the last one. It never blocks."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._received = bytearray()
        self._result: asyncio.Future[Any] | None = None

    def open(self) -> None:
        """Begin to receive results by the event loop."""
        self._end.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._receive)

    async def send(
        self, function: Callable[..., object], args: tuple[object, ...], source: object, descriptor: int | None = None
    ) -> asyncio.Future[Any]:
        """Send a call, what its first argument is read from, and a duplicate of *descriptor*.

        Return the future of its result, None if the process ends. Raise OSError if the process has ended.
        """
        if self._loop is None:
            raise BrokenPipeError
        message = _packed((_packed_call(function, args), source))
        self._result = self._loop.create_future()
        sent = self._end.send(message) if descriptor is None else socket.send_fds(self._end, [message], [descriptor])
        if sent < len(message):
            await self._loop.sock_sendall(self._end, message[sent:])
        return self._result

    def close(self) -> None:
        """Close the socket. The result that is awaited becomes None."""
        self._end_receiving()
        self._end.close()

    def _receive(self) -> None:
        try:
            data = self._end.recv(_RECEIVED_MORE if self._received else _RECEIVED)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end_receiving()
            return
        self._received += data
        if len(self._received) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
            if len(self._received) >= end:
                received, self._received = self._received, bytearray()
                if self._result is not None and not self._result.done():
                    self._result.set_result(pickle.loads(memoryview(received)[_LENGTH.size : end]))

    def _end_receiving(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._end)
            self._loop = None
        if self._result is not None and not self._result.done():
            self._result.set_result(None)  # an exception and the frames that await it would hold each other


def send(end: socket.socket, result: object) -> None:
    """Send *result* from the render process."""
    end.sendall(_packed(result))


def receive(end: socket.socket) -> tuple[Callable[..., Any], tuple[Any, ...], Any, int | None]:
    """Wait for the next call in the render process. Return what `Channel.send` was given.

    Raise `EOFError` when the service has ended.
    """
    data, descriptors, _, _ = socket.recv_fds(end, _RECEIVED, 1)
    while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
        more = end.recv(_RECEIVED)
        if not more:
            raise EOFError
        data += more
    call, source = pickle.loads(memoryview(data)[_LENGTH.size :])
    return *_unpacked_call(call), source, descriptors[0] if descriptors else None


@lru_cache(_CALLS)
def _packed_call(function: Callable[..., object], args: tuple[object, ...]) -> bytes:
    return pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL)


@lru_cache(_CALLS)
def _unpacked_call(data: bytes) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return pickle.loads(data)  # type: ignore[no-any-return]  # only `_packed_call` makes such bytes


def _packed(message: object) -> bytes:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data
