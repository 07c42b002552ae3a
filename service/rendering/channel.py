"""The end of the service of the socket to one render process. The other end is in `messages.py`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from service.rendering import replies
from service.rendering.messages import RECEIVED, packed, packed_call

_RECEIVED_MORE = 262_144
"""Bytes of each further read, more than the buffer of a socket has."""


class Channel:
    """The end of the service, which sends a call when it has the reply to the last one. It never blocks.

    Call *on_end* when the process closes its end, or sends bytes that are no reply to the call: with the `BadReply`.
    Nothing is received after that.
    """

    def __init__(self, end: socket.socket, on_end: Callable[[replies.BadReply | None], None]) -> None:
        self._end, self._on_end = end, on_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._received = bytearray()
        self._frame: asyncio.Future[bytearray | None] | None = None

    def open(self) -> None:
        """Begin to receive by the event loop."""
        self._end.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._receive)

    async def send(
        self, function: Callable[..., object], args: tuple[object, ...], source: object, descriptor: int | None = None
    ) -> asyncio.Future[bytearray | None]:
        """Send a call, what its first argument is read from, and a duplicate of *descriptor*.

        Return the future of the whole frame of its reply, None if no frame can come any more. Raise OSError if the
        process has ended.
        """
        if self._loop is None:
            raise BrokenPipeError
        message = packed((packed_call(function, args), source))
        self._frame = self._loop.create_future()
        sent = self._end.send(message) if descriptor is None else socket.send_fds(self._end, [message], [descriptor])
        if sent < len(message):
            await self._loop.sock_sendall(self._end, message[sent:])
        return self._frame

    def close(self) -> None:
        """Close the socket. The frame that is awaited becomes None."""
        self.end_receiving()
        self._end.close()

    def end_receiving(self) -> None:
        """Receive nothing any more. The frame that is awaited becomes None."""
        if self._loop is not None:
            self._loop.remove_reader(self._end)
            self._loop = None
        if self._frame is not None and not self._frame.done():
            self._frame.set_result(None)  # an exception and the frames that await it would hold each other

    def _receive(self) -> None:
        try:
            data = self._end.recv(_RECEIVED_MORE if self._received else RECEIVED)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.end_receiving()
            self._on_end(None)
            return
        self._received += data
        try:
            missing = replies.missing(self._received)
            if missing < 0 or self._frame is None or self._frame.done():
                raise replies.BadReply("more bytes than those of one reply to one call")
        except replies.BadReply as fault:
            self.end_receiving()
            self._on_end(fault)
            return
        if not missing:
            received, self._received = self._received, bytearray()
            self._frame.set_result(received)
