"""Bounds on what a reader does before it decodes: small files can promise it work for seconds. Knows no Pillow."""

from __future__ import annotations

from service.errors import N_, Unrenderable
from service.formats import Format

_MAX_EXIF = 64
"""Exif segments of a JPEG: Pillow joins them, each time anew."""
_MAX_RESOURCES = 20_000
"""Photoshop resources of a JPEG, which Pillow parses one by one."""
_MAX_ENTRIES = 4096
_MAX_VALUES = 65_536
"""Values of one TIFF tag that are numbers; Pillow makes an object of each."""
_MAX_OFFSETS = 100_000
"""Strips or tiles of a TIFF."""
_OFFSETS = (273, 279, 324, 325)
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_BYTES = (1, 2, 6, 7)
"""Types of a tag whose values are one byte each, and are not taken apart."""


def check(data: bytes, kind: Format, max_pixels: int) -> None:
    """Raise `Unrenderable` for a JPEG or TIFF whose header alone would keep a reader busy."""
    if kind is Format.JPEG:
        if data.count(b"Exif\0\0") > _MAX_EXIF or data.count(b"8BIM") > _MAX_RESOURCES:
            raise _too_much()
    elif kind is Format.TIFF:
        _check_directory(data, max_pixels)


def _check_directory(data: bytes, max_pixels: int) -> None:
    order = "little" if data.startswith(b"II") else "big"
    big = data[2:4] in (b"+\0", b"\0+")
    offset, counter, entry, value = (8, 8, 20, 8) if big else (4, 2, 12, 4)

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]  # one of the two

    at = number(offset, value)
    entries = number(at, counter)
    if entries > _MAX_ENTRIES:
        raise _too_much()
    tile = {_TILE_WIDTH: 1, _TILE_LENGTH: 1}
    for start in range(at + counter, at + counter + entries * entry, entry):
        tag, type_, count = number(start, 2), number(start + 2, 2), number(start + 4, value)
        if type_ not in _BYTES and count > (_MAX_OFFSETS if tag in _OFFSETS else _MAX_VALUES):
            raise _too_much()
        if tag in tile:
            tile[tag] = number(start + 4 + value, 2 if type_ == 3 else 4)
    if tile[_TILE_WIDTH] * tile[_TILE_LENGTH] > max_pixels:
        raise _too_much()


def _too_much() -> Unrenderable:
    return Unrenderable(N_("The picture's header promises more work than a picture is worth."))
