"""The socket between the service and one render process: calls and descriptors go there, results come back.

A message is its length and a pickled object. This module has the end of the render process, and does not import
asyncio.
"""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

LENGTH = struct.Struct("!I")
"""Bytes of a message's length."""
RECEIVED = 65_536
"""Bytes of the first read of a message. Most renditions are smaller."""


def packed(message: object) -> bytes:
    """Return *message* as the bytes that are sent."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def send(end: socket.socket, result: object) -> None:
    """Send *result* from the render process."""
    end.sendall(packed(result))


def receive(end: socket.socket) -> tuple[Any, int | None]:
    """Wait for the next call in the render process. Return it, and the descriptor that came with it.

    Raise `EOFError` when the service has ended.
    """
    data, descriptors, _, _ = socket.recv_fds(end, RECEIVED, 1)
    while len(data) < LENGTH.size or len(data) < LENGTH.size + LENGTH.unpack_from(data)[0]:
        more = end.recv(RECEIVED)
        if not more:
            raise EOFError
        data += more
    return pickle.loads(memoryview(data)[LENGTH.size :]), descriptors[0] if descriptors else None
