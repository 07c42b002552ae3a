"""The replies of a Redis server (RESP2), parsed in the buffer that they are received in.

hiredis copies a body four times: out of the receive buffer, into its own, from there, and without the head. The
functions that take a lookup's reply get views of the buffer, and copy a body once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

_CAPACITY = 262_144
"""Bytes of the buffer at first."""
_MOST_KEPT = 2_097_152
"""Bytes of the largest buffer that is kept when all replies in it are taken."""
_MOST_ELEMENTS = 1_024
"""Elements of a reply at most, nested ones too: parsing begins again when a further part of an array has arrived."""
_LONGEST_LINE = 65_536
"""Bytes of a line at most: the buffer grows for each part of a longer one."""
_LINE_END = b"\r\n"


class Incomplete(Exception):
    """The rest of the reply has not arrived."""


class TooLong(Exception):
    """A reply is longer than the buffer may become."""


class ReplyBuffer:
    """A buffer of the bytes from a server, in which replies of at most *max_reply* bytes are parsed."""

    def __init__(self, max_reply: int) -> None:
        self._max_reply = max_reply
        self._bytes = bytearray(_CAPACITY)
        self._view = memoryview(self._bytes)
        self._begin = self._end = 0  # of what is received and not taken
        self._awaited = 0  # the end of the bytes that the next reply needs at least
        self._elements = 0  # elements that arrays of the next reply may still have

    def space(self) -> memoryview:
        """Return where the next bytes are to be received. It is never empty."""
        if self._begin == self._end:
            if len(self._bytes) > _MOST_KEPT:
                self._move(_CAPACITY)
            self._begin = self._end = self._awaited = 0
        elif self._awaited > len(self._bytes):
            self._move(max(len(self._bytes), self._awaited - self._begin))
        return self._view[self._end :]

    def received(self, size: int) -> None:
        """Note that *size* bytes have been received."""
        self._end += size

    def take(self, bulk: Callable[[memoryview], Any]) -> Any:
        """Return the next reply. An error reply is returned, too. Raise `Incomplete`, `TooLong` or ValueError.

        *bulk* makes the value of a bulk string of its bytes, which are overwritten later.
        """
        if self._end < self._awaited:
            raise Incomplete
        self._elements = _MOST_ELEMENTS
        reply, self._begin = self._parse(self._begin, bulk)
        self._awaited = self._begin + 1
        return reply

    def _parse(self, at: int, bulk: Callable[[memoryview], Any]) -> tuple[Any, int]:
        """Return the reply that begins *at*, and where it ends."""
        data, received = self._bytes, self._end
        elements: list[Any] | None = None
        left = 1  # elements of the array to parse
        while left:
            line_end = data.find(_LINE_END, at, received)
            if line_end < 0:
                if received - at > _LONGEST_LINE:
                    raise ValueError("a reply has a line that is too long")
                raise self._incomplete(received + 1)
            kind, line, begin = data[at], data[at + 1 : line_end], line_end + 2
            if kind == 0x24:  # "$"
                if (length := int(line)) < 0:
                    value, at = None, begin
                else:
                    end = begin + length
                    at = end + 2
                    if at > received:
                        raise self._incomplete(at)
                    value = bulk(self._view[begin:end])
            elif kind == 0x2A and elements is None:  # "*"
                if (left := int(line)) < 0:
                    return None, begin
                self._elements -= left
                if self._elements < 0:
                    raise ValueError("a reply has too many elements")
                elements, at = [], begin
                continue
            elif kind == 0x2A:
                value, at = self._parse(at, bulk)
            else:
                value, at = _simple(kind, line), begin
            if elements is None:
                return value, at
            elements.append(value)
            left -= 1
        return elements, at

    def _incomplete(self, awaited: int) -> Exception:
        """Return `Incomplete`, or `TooLong` if the reply reaches to *awaited* and may not."""
        self._awaited = awaited
        return TooLong() if awaited - self._begin > self._max_reply else Incomplete()

    def _move(self, capacity: int) -> None:
        """Move what is not taken to the beginning of a buffer of *capacity* bytes."""
        rest, old = self._end - self._begin, self._view
        if capacity != len(self._bytes):
            self._bytes = bytearray(capacity)
            self._view = memoryview(self._bytes)
        self._view[:rest] = old[self._begin : self._end]
        self._awaited -= self._begin
        self._begin, self._end = 0, rest


def _simple(kind: int, line: bytearray) -> Any:
    if kind == 0x3A:  # ":"
        return int(line)
    if kind == 0x2B:  # "+"
        return bytes(line)
    if kind == 0x2D:  # "-"
        return ResponseError(line.decode(errors="replace"))
    raise ValueError("the answer is no Redis server's")
