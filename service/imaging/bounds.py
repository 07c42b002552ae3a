"""Bounds on what a reader does before it decodes: small files can promise it work for seconds. Knows no Pillow."""

from __future__ import annotations

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.tiff import Directory

_MAX_SEGMENTS = 2_000
"""Segments before a JPEG's first scan; Pillow joins those with Exif, each time anew."""
_MAX_RESOURCES = 1_048_576
"""Bytes of a JPEG's Photoshop resources, which Pillow parses one by one."""
_SOS, _APP13 = 0xDA, 0xED
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x00, 0x01, 0xFF, *range(0xD0, 0xD9)})
"""Markers without a length, and bytes that are none."""
_MAX_ENTRIES = 4096
_MAX_VALUES = 65_536
"""Values of one TIFF tag that are numbers; Pillow makes an object of each."""
_MAX_OFFSETS = 100_000
"""Strips or tiles of a TIFF."""
_OFFSETS = (273, 279, 324, 325)
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_BYTES = (1, 2, 6, 7)
"""Types of a tag whose values are one byte each, and are not taken apart."""


def check(data: bytes, kind: Format, max_pixels: int) -> bool:
    """Raise `Unrenderable` for a JPEG or TIFF whose header alone would keep a reader busy.

    Says whether a JPEG may come in several scans, as libjpeg tells it: by the components of the first.
    """
    if kind is Format.JPEG:
        return _check_segments(data)
    if kind is Format.TIFF:
        _check_directory(data, max_pixels)
    return False


def _check_segments(data: bytes) -> bool:
    at, resources, components = 2, 0, 0
    for _ in range(_MAX_SEGMENTS):
        at = data.find(b"\xff", at) + 1
        if at == 0 or at + 8 >= len(data):
            return False
        marker = data[at]
        if marker in _BARE:
            at += marker != 0xFF
            continue
        length = int.from_bytes(data[at + 1 : at + 3], "big")
        if marker == _SOS:
            return data[at + 3] < components
        if marker in _FRAMES:
            components = data[at + 8]
        if marker == _APP13:
            resources += length
        if resources > _MAX_RESOURCES:
            break
        at += 1 + length
    raise _too_much()


def _check_directory(data: bytes, max_pixels: int) -> None:
    directory = Directory.of(data)
    if directory is None:
        return
    if directory.entries > _MAX_ENTRIES:
        raise _too_much()
    tile = {_TILE_WIDTH: 1, _TILE_LENGTH: 1}
    for tag in directory.tags(_MAX_ENTRIES):
        if tag.type not in _BYTES and tag.count > (_MAX_OFFSETS if tag.number in _OFFSETS else _MAX_VALUES):
            raise _too_much()
        if tag.number in tile:
            tile[tag.number] = tag.value
    if tile[_TILE_WIDTH] * tile[_TILE_LENGTH] > max_pixels:
        raise _too_much()


def _too_much() -> Unrenderable:
    return Unrenderable(N_("The picture's header promises more work than a picture is worth."))
