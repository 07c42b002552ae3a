"""The end of the service of the socket to one render process. The other end is in `messages.py`."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Callable
from typing import Any

from service.rendering.messages import LENGTH, RECEIVED, packed, packed_call

_RECEIVED_MORE = 262_144
"""Bytes of each further read, more than the buffer of a socket has."""


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
        message = packed((packed_call(function, args), source))
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
            data = self._end.recv(_RECEIVED_MORE if self._received else RECEIVED)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end_receiving()
            return
        self._received += data
        if len(self._received) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._received)[0]
            if len(self._received) >= end:
                received, self._received = self._received, bytearray()
                if self._result is not None and not self._result.done():
                    self._result.set_result(pickle.loads(memoryview(received)[LENGTH.size : end]))

    def _end_receiving(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._end)
            self._loop = None
        if self._result is not None and not self._result.done():
            self._result.set_result(None)  # an exception and the frames that await it would hold each other
