"""AVIF files that are built of boxes (ISO/IEC 14496-12, ISO/IEC 23008-12), with pictures that Pillow has coded."""

from __future__ import annotations

import struct
from typing import Any

from PIL import Image

from service.imaging.containers.isobmff.items import streams
from tools.pictures.drawing import saved

SRGB = (1, 13, 6, 1)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def ispe(width: int, height: int) -> bytes:
    return full_box(b"ispe", struct.pack(">2I", width, height))


def nclx(primaries: int, transfer: int, matrix: int = 6, full_range: int = 1) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">3HB", primaries, transfer, matrix, full_range << 7))


def profile(icc: bytes) -> bytes:
    return box(b"colr", b"prof", icc)


def clap(width: int, height: int, across: Any = 0, down: Any = 0, unit: int = 1) -> bytes:
    """Return a clean aperture whose centre is moved by *across* and *down*.

    Both are a whole number, or a numerator and a denominator. *unit* is the denominator of width and height.
    """
    moved = [each if isinstance(each, tuple) else (each, 1) for each in (across, down)]
    (x, per_x), (y, per_y) = moved
    return box(b"clap", struct.pack(">4I", width, unit, height, unit), struct.pack(">iIiI", x, per_x, y, per_y))


def cropped(size: tuple[int, int], crop: tuple[int, int, int, int]) -> bytes:
    """Return the clean aperture for the part *crop* (left, top, right, bottom) of a picture of that *size*."""
    left, top, right, bottom = crop
    return clap(right - left, bottom - top, (left + right - size[0], 2), (top + bottom - size[1], 2))


def irot(quarters: int) -> bytes:
    """Return a rotation by a number of *quarters* of a turn, counter-clockwise."""
    return box(b"irot", bytes((quarters,)))


def imir(axis: int) -> bytes:
    """Return a mirror that exchanges top and bottom (0) or left and right (1)."""
    return box(b"imir", bytes((axis,)))


def coded(image: Image.Image, **options: Any) -> bytes:
    """Return the AV1 data of *image*, as they are in an item."""
    options = {"quality": 100, "subsampling": "4:4:4", "speed": 8, **options}
    return next(next(streams(saved(image, "AVIF", **options), b"av01", 1)).pieces)


def container(
    items: list[tuple[bytes, list[int], bytes | tuple[int, int]]], properties: list[bytes],
    references: bytes = b"", inside: bytes = b"", padding: int = 0, brand: bytes = b"avif",
) -> bytes:  # fmt: skip
    """Return a file of *items* (type, numbers of properties, data or their place in `mdat`). The first is shown.

    *inside* is the content of the box idat, which holds a grid. *padding* bytes precede the box meta.
    """
    data = b"".join(each for _, _, each in items if isinstance(each, bytes))

    def made(start: int) -> bytes:
        places, kinds, links, at = [], [], [], 0
        for number, (kind, indices, body) in enumerate(items, 1):
            kinds.append(full_box(b"infe", struct.pack(">2H", number, 0), kind, b"\0", version=2))
            links.append(struct.pack(">HB", number, len(indices)) + bytes(indices))
            if kind == b"grid":
                where = (1, 0, len(inside))
            elif isinstance(body, bytes):
                where, at = (0, start + at, len(body)), at + len(body)
            else:
                where = (0, start + body[0], body[1])
            places.append(struct.pack(">4H2I", number, where[0], 0, 1, *where[1:]))
        meta = full_box(
            b"meta",
            full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", struct.pack(">H", 1)),
            full_box(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *places, version=1),
            full_box(b"iinf", struct.pack(">H", len(items)), *kinds),
            references and full_box(b"iref", references),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full_box(b"ipma", struct.pack(">I", len(items)), *links),
            ),
            inside and box(b"idat", inside),
        )
        free = box(b"free", bytes(padding)) if padding else b""
        return box(b"ftyp", brand, bytes(4), brand, b"mif1miaf") + free + meta + box(b"mdat", data)

    return made(len(made(0)) - len(data))


PIXI, AV1C = full_box(b"pixi", b"\3\x08\x08\x08"), box(b"av1C", b"\x81\x20\0\0")
_ESSENTIAL = (b"av1C", b"hvcC", b"clap", b"irot", b"imir")


def _numbers(properties: list[bytes]) -> list[int]:
    return [at | 0x80 if each[4:8] in _ESSENTIAL else at for at, each in enumerate(properties, 1)]


def still(
    image: Image.Image, *extra: bytes, colour: bytes | None = None, padding: int = 0, **options: Any
) -> bytes:  # fmt: skip
    """Return an AVIF of *image* with *extra* properties. *colour* is its box of colours, or empty for none."""
    properties = [ispe(*image.size), PIXI, AV1C, nclx(*SRGB) if colour is None else colour, *extra]
    properties = [each for each in properties if each]
    return container([(b"av01", _numbers(properties), coded(image, **options))], properties, padding=padding)


def heic_with(heic: bytes, size: tuple[int, int], *extra: bytes) -> bytes:
    """Return a new file with *extra* properties for the picture of that *size* in a *heic* of one item."""
    at = heic.index(b"hvcC") - 4
    config = heic[at : at + int.from_bytes(heic[at : at + 4], "big")]
    properties = [ispe(*size), PIXI, config, *extra]
    data = next(next(streams(heic, b"hvc1", 1)).pieces)
    return container([(b"hvc1", _numbers(properties), data)], properties, brand=b"heic")


def grid(
    tile: Image.Image, columns: int, rows: int, *extra: bytes, shared: bool, size: tuple[int, int] | None = None
) -> bytes:
    """Return a grid of copies of *tile*, which is stored once if it is *shared*."""
    width, height = size or (tile.width * columns, tile.height * rows)
    properties = [ispe(width, height), ispe(*tile.size), PIXI, AV1C, nclx(*SRGB), *extra]
    data, count = coded(tile), columns * rows
    own = [3, 5, *(at | 0x80 for at in range(6, 6 + len(extra)))]
    tiles = [(b"av01", [2, 3, 0x84, 5], (0, len(data)) if shared and at else data) for at in range(count)]
    description = bytes((0, 0, rows - 1, columns - 1)) + struct.pack(">2H", width, height)
    numbers = struct.pack(f">2H{count}H", 1, count, *range(2, 2 + count))
    return container([(b"grid", [1, *own], b""), *tiles], properties, box(b"dimg", numbers), description)


def with_property(data: bytes, extra: bytes) -> bytes:
    """Return a still picture that Pillow wrote, with one property more for its first item."""
    data = bytearray(data)
    ipco, ipma = data.index(b"ipco"), data.index(b"ipma")
    count = len(list(walk(bytes(data), ipco + 4, ipco - 4 + size_at(data, ipco - 4))))
    entry = ipma + 4 + 4 + 4
    assert data[entry : entry + 2] == b"\0\1"
    amount = data[entry + 2]
    data[entry + 2] = amount + 1
    data[entry + 3 + amount : entry + 3 + amount] = bytes((0x80 | count + 1,))
    data[ipma - 4 : ipma - 4] = extra
    grown = len(extra) + 1
    for kind, by in ((b"ipma", 1), (b"ipco", len(extra)), (b"iprp", grown), (b"meta", grown)):
        at = data.index(kind) - 4
        data[at : at + 4] = (size_at(data, at) + by).to_bytes(4, "big")
    iloc = data.index(b"iloc")
    for number in range(data[iloc + 11]):
        at = iloc + 12 + 14 * number + 6
        data[at : at + 4] = (size_at(data, at) + grown).to_bytes(4, "big")
    return bytes(data)


def size_at(data: bytes | bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def walk(data: bytes, at: int, end: int):
    while at < end:
        yield at
        at += size_at(data, at)
