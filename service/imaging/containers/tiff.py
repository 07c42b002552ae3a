"""The first directory of a TIFF or BigTIFF. This module does not import Pillow.

It reads no other directory: the pages of a TIFF are no frames.
"""

from __future__ import annotations

from service.imaging.containers.container import Container, turned
from service.imaging.containers.jpeg import check_process
from service.imaging.containers.tiff_directory import LONG, LONG8, MAGIC, SHORT, Directory
from service.imaging.containers.window import Bytes
from service.imaging.errors import corrupt, too_much_work, unsupported
from service.imaging.geometry import Size

_BYTE_TYPES = (1, 2, 6, 7)
"""Types whose values have one byte and are not unpacked."""

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES = 256, 257, 258, 259, 262, 274, 277
_TILE_WIDTH, _TILE_LENGTH, _EXTRA_SAMPLES = 322, 323, 338
"""Numbers of tags, as the constants before."""
_STARTS = (273, 324)
"""Tags with the offsets of strips and of tiles."""
_OFFSETS = (*_STARTS, 279, 325)
"""Tags with a value for each strip or tile."""

_RGB = 2
"""The photometric interpretation of RGB."""
_JPEG = 7
"""The compression of JPEG."""
_READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, _JPEG, 8, 32771, 32773, 32946})
"""None, fax, LZW, JPEG, deflate and PackBits. Compressions that allocate memory as the file says (LZMA, Zstandard), and
those that no scanner or camera writes, are not read."""
_COMPRESSIONS = {
    9: "JBIG", 10: "JBIG", 32766: "NeXT", 32809: "ThunderScan", 32908: "Pixar", 32909: "Pixar", 32947: "DCS",
    34661: "JBIG", 34676: "SGILog", 34677: "SGILog", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG of DNG",
    34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""Names of compressions that are not read, by the value of tag 259."""
_PHOTOMETRICS = {
    0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab",
    10: "ITULab", 32803: "CFA", 32844: "LogL", 32845: "LogLuv", 34892: "LinearRaw",
}  # fmt: skip
"""Names of photometric interpretations, by the value of tag 262."""
_PRIVATE = 32_768
"""The lowest private value (TIFF 6.0, section 8). A lower value without a name is invalid."""
_DEPTHS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32, 64)
"""Bits of a sample in real files."""

_MAX_HEADER_TAGS = 1024
"""Entries that are read for alpha and size."""
_MAX_ENTRIES = 4096
"""Entries of a directory that is decoded."""
_MAX_VALUES = 65_536
"""Values of a tag of numbers. Pillow makes an object of each."""
_MAX_OFFSETS = 100_000
"""Strips or tiles of a picture."""
_MAX_TILE = 4096 * 4096
"""Pixels of a tile."""


def compression_name(value: int) -> str | None:
    """Return the usual name of the compression with that *value*, or None for an invalid value."""
    return _COMPRESSIONS.get(value) or _private("compression", value)


def pixel_name(photometric: int, bits: int) -> str | None:
    """Return a name for pixels with that interpretation and *bits* per sample, or None for invalid values."""
    name = _PHOTOMETRICS.get(photometric) or _private("photometric", photometric)
    return f"{bits}-bit {name}" if name and bits in _DEPTHS else None


def _private(tag: str, value: int) -> str | None:
    return f"{tag} {value}" if _PRIVATE <= value < 65_536 else None


def _matches(head: bytes) -> bool:
    return head.startswith(MAGIC)


def _alpha(data: Bytes) -> bool:
    """Return whether ExtraSamples is alpha (1 or 2), or is missing where RGB has a fourth sample."""
    directory = Directory.of(data)
    if directory is None:
        return False
    values = {tag.number: tag.value for tag in directory.tags(_MAX_HEADER_TAGS)}
    extra = values.get(_EXTRA_SAMPLES)
    if extra in (1, 2):
        return True
    return extra is None and values.get(_PHOTOMETRIC) == _RGB and values.get(_SAMPLES) == 4


def _upright_size(data: Bytes) -> Size | None:
    directory = Directory.of(data)
    if directory is None or directory.entries > _MAX_HEADER_TAGS:
        return None
    tags = {tag.number: tag for tag in directory.tags(_MAX_HEADER_TAGS)}
    sides = []
    for number in (_WIDTH, _LENGTH):
        tag = tags.get(number)
        if tag is None or tag.count != 1 or tag.type not in (SHORT, LONG, LONG8):
            return None
        sides.append(tag.offset if tag.type == LONG8 else tag.value)
    size, turn = (sides[0], sides[1]), tags.get(_ORIENTATION)
    if turn is None:
        return size
    return turned(size, turn.value) if turn.count == 1 and turn.type in (SHORT, LONG) else None


def _check(data: bytes, max_pixels: int) -> float:
    """Return the bytes per pixel as stored: a strip may hold the whole picture, and is unpacked as a whole."""
    directory = Directory.of(data)
    if directory is None:
        return 0.0
    if directory.entries > _MAX_ENTRIES:
        raise too_much_work()
    values = {_WIDTH: 1, _LENGTH: 1, _TILE_WIDTH: 1, _TILE_LENGTH: 1, _COMPRESSION: 1, _SAMPLES: 1}
    bits, seen, pixels = 1, set(), None
    for tag in directory.tags(_MAX_ENTRIES):
        if tag.number in seen and (tag.number in values or tag.number == _BITS):
            raise corrupt()  # readers differ in which of the two they use
        seen.add(tag.number)
        if tag.type not in _BYTE_TYPES and tag.count > (_MAX_OFFSETS if tag.number in _OFFSETS else _MAX_VALUES):
            raise too_much_work()
        if tag.number in values:
            values[tag.number] = tag.value
        elif tag.number == _BITS:
            bits = directory.first(tag)
        elif tag.number in _STARTS:
            pixels = tag
    _check_tiles(values, max_pixels, tiled=_TILE_WIDTH in seen)
    if values[_COMPRESSION] not in _READ_COMPRESSIONS:
        name = compression_name(values[_COMPRESSION])
        raise unsupported(f"TIFF ({name})") if name else corrupt()
    if directory.big and directory.order == "big":
        raise unsupported("BigTIFF (big-endian)")  # Pillow does not read it
    if values[_COMPRESSION] == _JPEG and pixels is not None:
        check_process(data, directory.first(pixels), "TIFF, JPEG")
    return values[_SAMPLES] * bits / 8


def _check_tiles(values: dict[int, int], max_pixels: int, *, tiled: bool) -> None:
    """Raise `Unrenderable` when one tile, or all of them with their padding, have too many pixels."""
    if values[_TILE_WIDTH] * values[_TILE_LENGTH] > min(_MAX_TILE, max_pixels):
        raise too_much_work()
    if tiled:
        across, down = max(1, values[_TILE_WIDTH]), max(1, values[_TILE_LENGTH])
        tiles = -(-values[_WIDTH] // across) * -(-values[_LENGTH] // down)
        if tiles * across * down > max_pixels + _MAX_TILE:
            raise too_much_work()


CONTAINER = Container(_matches, _upright_size, _alpha, check=_check)
