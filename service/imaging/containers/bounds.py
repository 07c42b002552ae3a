"""Bounds on what readers and writers may be given: small files can promise work for seconds. Knows no Pillow."""

from __future__ import annotations

from service.formats import Format
from service.imaging.containers.av1 import extent
from service.imaging.containers.isobmff import check_items, check_samples, streams
from service.imaging.containers.jpeg import Header, check_process
from service.imaging.containers.tiff import Directory, compression_name
from service.imaging.failures import corrupt, too_much_work, unsupported

_MAX_ENTRIES = 4096
_MAX_VALUES = 65_536
"""Values of one TIFF tag that are numbers; Pillow makes an object of each."""
_MAX_OFFSETS = 100_000
"""Strips or tiles of a TIFF."""
_STARTS = (273, 324)
"""Where strips and tiles are."""
_OFFSETS = (*_STARTS, 279, 325)
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_JPEG = 7
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, _JPEG, 8, 32771, 32773, 32946})
"""None, fax, LZW, JPEG, deflate, PackBits. Left out are those that set memory aside as the file says (LZMA, Zstandard),
and those that no scanner or camera writes."""
_MAX_TILE = 4096 * 4096
_BYTES = (1, 2, 6, 7)
"""Types of a tag whose values are one byte each, and are not taken apart."""
_MAX_RLE = 2_000_000
"""Pixels of a run-length encoded BMP, which Pillow decodes in Python: a quarter of a second at worst."""
_RLE = (1, 2)
_FREE = 1 << 24
"""Pixels that an AVIF's frames may have whatever its canvas: a grid's tiles reach beyond it, and a frame that names a
size of its own counts as large as its bits allow."""
_MAX_CANVASES = 12
"""How often an AVIF may fill its canvas for one frame shown: colour, alpha, a thumbnail, a gain map, hidden frames."""


def check(data: bytes, kind: Format, max_pixels: int) -> float:
    """Raise `Unrenderable` for a JPEG, TIFF, BMP, AVIF or HEIC whose header alone would keep a reader busy.

    Gives the bytes that the reader holds of each pixel beside the picture that it makes. More than 0 for a JPEG means
    several scans, as libjpeg tells them: by the components of the first.
    """
    if kind is Format.JPEG:
        header = Header.of(data)
        return header.frame.coefficient_bytes if header.several_scans else 0.0
    if kind is Format.TIFF:
        return _check_directory(data, max_pixels)
    if kind is Format.BMP:
        _check_runs(data)
    if kind in (Format.AVIF, Format.HEIC):
        check_samples(data)
        check_items(data)
    return _BESIDE.get(kind, 0.0)


WHOLE_COLOUR = 12.0
"""Bytes a pixel beside its picture: up to four planes of 16 bits, held while they are made into RGBA."""
_BESIDE = {Format.WEBP: 12.0, Format.AVIF: WHOLE_COLOUR, Format.HEIC: 4.0}
"""Of WebP, two canvases and what the reader hands over; of HEIC, planes whose colour is halved both ways, and RGB
(`python -m tools.bench memory`)."""


def check_frames(data: bytes, size: tuple[int, int], most: int) -> None:
    """Raise `Unrenderable` for an AVIF with larger frames, or more of them at once, than its canvas of *size* is worth.

    *most* frames of an animation are looked at, those that may come to be decoded.
    """
    canvas = size[0] * size[1]
    at_once = 0
    for stream in streams(data, b"av01", most):
        found = extent(stream.pieces)
        at_once += stream.times * found.at_once
        if found.largest > max(canvas, _FREE) or at_once > max(_MAX_CANVASES * canvas, _FREE):
            raise too_much_work()


def _check_directory(data: bytes, max_pixels: int) -> float:
    """Gives the bytes of a pixel as it is stored: a strip may hold the whole picture, and is unpacked as a whole."""
    directory = Directory.of(data)
    if directory is None:
        return 0.0
    if directory.entries > _MAX_ENTRIES:
        raise too_much_work()
    said = {_WIDTH: 1, _LENGTH: 1, _TILE_WIDTH: 1, _TILE_LENGTH: 1, _COMPRESSION: 1, _SAMPLES: 1}
    bits, seen, pixels = 1, set(), None
    for tag in directory.tags(_MAX_ENTRIES):
        if tag.number in seen and (tag.number in said or tag.number == _BITS):
            raise corrupt()  # readers differ in which of two they believe
        seen.add(tag.number)
        if tag.type not in _BYTES and tag.count > (_MAX_OFFSETS if tag.number in _OFFSETS else _MAX_VALUES):
            raise too_much_work()
        if tag.number in said:
            said[tag.number] = tag.value
        elif tag.number == _BITS:
            bits = directory.first(tag)
        elif tag.number in _STARTS:
            pixels = tag
    if said[_TILE_WIDTH] * said[_TILE_LENGTH] > min(_MAX_TILE, max_pixels):
        raise too_much_work()
    if _TILE_WIDTH in seen:
        across, down = max(1, said[_TILE_WIDTH]), max(1, said[_TILE_LENGTH])
        tiles = -(-said[_WIDTH] // across) * -(-said[_LENGTH] // down)
        if tiles * across * down > max_pixels + _MAX_TILE:
            raise too_much_work()
    if said[_COMPRESSION] not in _COMPRESSIONS:
        name = compression_name(said[_COMPRESSION])
        raise unsupported(f"TIFF ({name})") if name else corrupt()
    if directory.big and directory.order == "big":
        raise unsupported("BigTIFF (big-endian)")  # not by Pillow
    if said[_COMPRESSION] == _JPEG and pixels is not None:
        check_process(data, directory.first(pixels), "TIFF, JPEG")
    return said[_SAMPLES] * bits / 8


def _check_runs(data: bytes) -> None:
    width, height = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
    long_header = int.from_bytes(data[14:18], "little") >= 40
    if long_header and int.from_bytes(data[30:34], "little") in _RLE and abs(width * height) > _MAX_RLE:
        raise too_much_work()
