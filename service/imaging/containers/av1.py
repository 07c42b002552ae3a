"""The sizes and the number of the frames of an AV1 stream, from its headers. This module does not import Pillow.

The container of an AVIF has a size too, but the frames may be larger. Pillow's reader notices that only after decoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.imaging.containers.cicp import CodePoints
from service.imaging.errors import corrupt, too_much_work

_SEQUENCE_HEADER = 1
"""The type of a unit with a sequence header."""
_FRAMES = (3, 6, 7)
"""Types of units with frame headers. 7 is a redundant one, which may belong to the frame of another operating point."""
_HEADER_BYTES = 512
"""Bytes of a unit that are parsed. A sequence header with all of its 32 operating points has fewer."""
_MAX_UNITS = 2000
"""Units of one piece. The largest pictures have some dozens of tile groups."""
_KEY, _SWITCH = 0, 3
"""Types of frames."""
_SELECT = 2
"""The value of a sequence header that leaves the choice to each frame header."""
_IDENTITY = (1, 13, 0)
"""Code points of plain red, green and blue, whose range is always full."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Pixels of the largest frame of a stream, and of all frames in the piece with the most pixels."""

    largest: int
    at_once: int


def extent(stream: Iterable[bytes]) -> Extent:
    """Return the pixels that a decoder makes of the pieces of *stream*; zeros if there is no sequence header.

    A frame with a size of its own counts as the largest size that its fields can hold.
    """
    sequence: _Sequence | None = None
    largest = at_once = 0
    for piece in stream:
        total = 0
        for kind, body in _units(piece):
            if kind == _SEQUENCE_HEADER:
                bits = _Bits(body)
                sequence = _Sequence(bits)
                if bits.exhausted:
                    raise corrupt()
                largest = max(largest, sequence.pixels)
            elif kind in _FRAMES and sequence is not None:
                pixels = sequence.frame_pixels(_Bits(body))
                largest, total = max(largest, pixels), total + pixels
        at_once = max(at_once, total)
    return Extent(largest, at_once)


def code_points(piece: bytes) -> CodePoints | None:
    """Return the code points in the sequence header of a *piece* of a stream, or None."""
    for kind, body in _units(piece):
        if kind == _SEQUENCE_HEADER:
            bits = _Bits(body)
            found = _Sequence(bits).code_points(bits)
            return None if bits.exhausted else found
    return None


def _units(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the first bytes of each open bitstream unit (AV1 specification, section 5.3)."""
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(stream):
            return
        head = stream[at]
        at += 2 if head & 4 else 1
        size = len(stream) - at
        if head & 2:
            size = 0
            for part in range(8):  # leb128
                byte = stream[at] if at < len(stream) else 0
                size |= (byte & 127) << 7 * part
                at += 1
                if not byte & 128:
                    break
        yield head >> 3 & 15, stream[at : at + min(size, _HEADER_BYTES)]
        at += size
    raise too_much_work()


class _Bits:
    """Bits that are read in order, the most significant one of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    @property
    def exhausted(self) -> bool:
        """Whether more bits were taken than the data have."""
        return self._left < 0

    def take(self, count: int) -> int:
        """Return the next *count* bits as a number. Bits past the end are zeros."""
        self._left -= count
        value = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return value & (1 << count) - 1

    def unsigned_variable(self) -> int:
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        return self.take(zeros) if zeros < 32 else 0


class _Sequence:
    """The fields of a sequence header (section 5.5.1) that the size of a frame depends on."""

    def __init__(self, bits: _Bits) -> None:
        take = bits.take
        self._profile = take(3)
        take(1)  # still picture
        self._reduced = take(1)
        self._time_bits = 0
        if self._reduced:
            take(5)
        else:
            self._timing(bits)
        self._across, self._down = take(4) + 1, take(4) + 1
        self.pixels = (take(self._across) + 1) * (take(self._down) + 1)
        self._id_bits = 0
        if not self._reduced and take(1):
            self._id_bits = take(4) + 2 + take(3) + 1
        take(3)
        self._screen = self._integer = _SELECT
        if not self._reduced:
            take(4)
            order_hints = take(1)
            if order_hints:
                take(2)
            self._screen = _SELECT if take(1) else take(1)
            if self._screen:
                self._integer = _SELECT if take(1) else take(1)
            if order_hints:
                take(3)
        take(3)  # scaling, and two filters

    def _timing(self, bits: _Bits) -> None:
        take = bits.take
        delay_bits = 0
        if take(1):
            take(64)
            equal = take(1)
            if equal:
                bits.unsigned_variable()
            if take(1):
                delay_bits = take(5) + 1
                take(37)
                time_bits = take(5) + 1
                self._time_bits = 0 if equal else time_bits
        delays_shown = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if delay_bits and take(1):
                take(2 * delay_bits + 1)
            if delays_shown and take(1):
                take(4)

    def code_points(self, bits: _Bits) -> CodePoints | None:
        """Return the code points that follow in *bits* (section 5.5.2), or None if the colour is not described."""
        take = bits.take
        if take(1) and self._profile == 2:  # more than eight bits
            take(1)
        grey = take(1) if self._profile != 1 else 0
        if not take(1):
            return None
        primaries, transfer, matrix = take(8), take(8), take(8)
        identity = not grey and (primaries, transfer, matrix) == _IDENTITY
        return CodePoints(primaries, transfer, matrix, 1 if identity else take(1))

    def frame_pixels(self, bits: _Bits) -> int:
        """Return the pixels of the frame whose header begins *bits* (section 5.9.2)."""
        take = bits.take
        if self._reduced:
            return self.pixels
        if take(1):
            return 0  # an earlier frame is shown
        kind, shown = take(2), take(1)
        if shown:
            take(self._time_bits)
        else:
            take(1)
        if not (kind == _SWITCH or (kind == _KEY and shown)):
            take(1)
        take(1)
        screen = take(1) if self._screen == _SELECT else self._screen
        if screen and self._integer == _SELECT:
            take(1)
        take(self._id_bits)
        own_size = kind == _SWITCH or take(1)
        return max(self.pixels, 1 << self._across + self._down) if own_size else self.pixels
