"""Mutants of pictures: with bytes changed anywhere, or with changed parts in a sound container."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

_BOUNDARIES = (0, 1, 2, 127, 128, 255, 256, 32_767, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_INFLATED = {b"IDAT": 0, b"fdAT": 4, b"iCCP": 0, b"zTXt": 0}
"""Bytes before the zlib stream in the compressed chunks of a PNG, by type."""

Part = tuple[bytes, bytes]


def mutant(data: bytes, number: int) -> bytes:
    """Return the mutant of *data* with that *number*."""
    dice = Random(number)
    known = _CONTAINERS.get(data[:2])
    if known and dice.random() < 0.7:
        split, join = known
        parts = split(data)
        for _ in range(dice.randint(1, 3)):
            _change_parts(parts, dice)
        return join(parts)
    return _changed(data, dice)


def _changed(data: bytes, dice: Random) -> bytes:
    """Return *data* with some bytes or numbers changed, a piece removed or repeated, or the end cut off."""
    mutated = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 8, max(1, len(data) // 100)))):
        if not mutated:
            break
        at = dice.randrange(len(mutated))
        how = dice.randrange(8)
        if how < 3:
            mutated[at] ^= 1 << dice.randrange(8)
        elif how < 5:
            mutated[at] = dice.randrange(256)
        elif how == 5:
            size, order = dice.choice((1, 2, 4)), dice.choice(("little", "big"))
            mutated[at : at + size] = (dice.choice(_BOUNDARIES) % 256**size).to_bytes(size, order)  # type: ignore[arg-type]
        elif how == 6:
            piece = mutated[at : at + dice.randint(1, 40)]
            mutated[at:at] = piece * dice.choice((1, 1, 2, 50))
        else:
            del mutated[at : at + dice.choice((1, 4, 40, len(mutated)))]
    return bytes(mutated)


def _change_parts(parts: list[Part], dice: Random) -> None:
    if not parts:
        return
    at = dice.randrange(len(parts))
    name, body = parts[at]
    how = dice.randrange(10)
    if how < 6:
        parts[at] = name, _changed(body, dice)
    elif how < 7:
        parts[at] = name, _inflated_and_changed(name, body, dice)
    elif how == 7:
        parts.insert(dice.randrange(len(parts) + 1), parts[at])
    elif how == 8:
        parts[at] = parts[dice.randrange(len(parts))][0], body
    else:
        del parts[at]


def _inflated_and_changed(name: bytes, body: bytes, dice: Random) -> bytes:
    """Return *body* with a change in its data before compression."""
    start = body.find(b"\0") + 2 if name in (b"iCCP", b"zTXt") else _INFLATED.get(name, 0)
    try:
        inflated = zlib.decompress(body[start:])
    except zlib.error:
        return _changed(body, dice)
    return body[:start] + zlib.compress(_changed(inflated, dice))


def _png_parts(data: bytes) -> list[Part]:
    parts, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return parts


def _png(parts: list[Part]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def _riff_parts(data: bytes) -> list[Part]:
    parts, at = [], 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return parts


def _riff(parts: list[Part]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(body)) + body + bytes(len(body) & 1) for name, body in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _jpeg_parts(data: bytes) -> list[Part]:
    """Return the segments. The data after the header of the first scan are a part without a name."""
    parts, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append((data[at : at + 2], data[at + 4 : at + 2 + length]))
        at += 2 + length
        if parts[-1][0] == b"\xff\xda":
            break
    return [*parts, (b"", data[at:])]


def _jpeg(parts: list[Part]) -> bytes:
    return b"\xff\xd8" + b"".join(
        name + struct.pack(">H", min(65_535, len(body) + 2)) + body if name else body for name, body in parts
    )


def _box_parts(data: bytes) -> list[Part]:
    parts, at = [], 0
    while at + 8 <= len(data):
        length = max(8, int.from_bytes(data[at : at + 4], "big"))
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + length]))
        at += length
    return parts


def _boxes(parts: list[Part]) -> bytes:
    return b"".join(struct.pack(">I", len(body) + 8) + name + body for name, body in parts)


_CONTAINERS: dict[bytes, tuple[Callable[[bytes], list[Part]], Callable[[list[Part]], bytes]]] = {
    b"\x89P": (_png_parts, _png),
    b"RI": (_riff_parts, _riff),
    b"\xff\xd8": (_jpeg_parts, _jpeg),
    b"\0\0": (_box_parts, _boxes),
}
