"""The socket between the service and one render process: calls and descriptors go there, replies come back.

A call is its length and a pickled object, which only the render process reads. Replies are in `replies.py`: the service
unpickles nothing. This module has the end of the render process, and does not import asyncio.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

LENGTH = struct.Struct("!I")
"""Bytes of a call's length."""
RECEIVED = 65_536
"""Bytes of the first read of a call or a reply. Most renditions are smaller."""
_CALLS = 128
"""Packed calls that are kept. Requests ask for few sizes, and to pack an order takes longer than to send it."""


def packed(message: object) -> bytes:
    """Return *message* as the bytes that are sent to a render process."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


@lru_cache(_CALLS)
def packed_call(function: Callable[..., object], args: tuple[object, ...]) -> bytes:
    """Return a call as bytes, which are a part of a message."""
    return pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL)


@lru_cache(_CALLS)
def _unpacked_call(data: bytes) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return pickle.loads(data)  # type: ignore[no-any-return]  # only `packed_call` makes such bytes


def receive(end: socket.socket) -> tuple[Callable[..., Any], tuple[Any, ...], Any, int | None]:
    """Wait for the next call in the render process. Return what `Channel.send` was given.

    Raise `EOFError` when the service has ended.
    """
    data, descriptors, _, _ = socket.recv_fds(end, RECEIVED, 1)
    while len(data) < LENGTH.size or len(data) < LENGTH.size + LENGTH.unpack_from(data)[0]:
        more = end.recv(RECEIVED)
        if not more:
            raise EOFError
        data += more
    call, source = pickle.loads(memoryview(data)[LENGTH.size :])
    return *_unpacked_call(call), source, descriptors[0] if descriptors else None
