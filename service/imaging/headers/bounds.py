"""Bounds on what readers and writers may be given: small files can promise work for seconds. Knows no Pillow."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.faults import corrupt, too_much_work
from service.imaging.headers.av1 import extent
from service.imaging.headers.isobmff import check_samples, streams
from service.imaging.headers.tiff import Directory

_MAX_SEGMENTS = 2_000
"""Segments before a JPEG's first scan; Pillow joins those with Exif, each time anew."""
_SOS, _DQT, _APP1, _APP13 = 0xDA, 0xDB, 0xE1, 0xED
_MOST = {_DQT: 65_536, _APP1: 4_194_304, _APP13: 1_048_576}
"""Bytes of a JPEG's segments of a kind together: quantisation tables and Photoshop resources, which Pillow takes apart
one by one, and Exif, which it joins."""
_EXIF = b"Exif\0\0"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_BARE = frozenset({0x00, 0x01, 0xFF, *range(0xD0, 0xD9)})
"""Markers without a length, and bytes that are none."""
_MAX_ENTRIES = 4096
_MAX_VALUES = 65_536
"""Values of one TIFF tag that are numbers; Pillow makes an object of each."""
_MAX_OFFSETS = 100_000
"""Strips or tiles of a TIFF."""
_OFFSETS = (273, 279, 324, 325)
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946})
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
MOST_PIXELS = {Format.AVIF: 16_000_000}
"""Of a rendition, by the formats that hold less than `max_dimension` allows. With transparency AVIF's writer takes 30
bytes for each pixel."""
_MAX_CANVASES = 12
"""How often an AVIF may fill its canvas for one frame shown: colour, alpha, a thumbnail, a gain map, hidden frames."""


def check(data: bytes, kind: Format, max_pixels: int) -> float:
    """Raise `Unrenderable` for a JPEG, TIFF, BMP, AVIF or HEIC whose header alone would keep a reader busy.

    Gives the bytes that the reader holds of each pixel beside the picture that it makes. More than 0 for a JPEG means
    several scans, as libjpeg tells them: by the components of the first.
    """
    if kind is Format.JPEG:
        return _check_segments(data)
    if kind is Format.TIFF:
        return _check_directory(data, max_pixels)
    if kind is Format.BMP:
        _check_runs(data)
    if kind in (Format.AVIF, Format.HEIC):
        check_samples(data)
    return _BESIDE.get(kind, 0.0)


WHOLE_COLOUR = 12.0
"""Bytes a pixel beside its picture: up to four planes of 16 bits, held while they are made into RGBA."""
_BESIDE = {Format.WEBP: 12.0, Format.AVIF: WHOLE_COLOUR, Format.HEIC: 4.0}
"""Of WebP, two canvases and what the reader hands over; of HEIC, planes whose colour is halved both ways, and RGB
(`python -m tests.bench memory`)."""


def check_frames(data: bytes, size: tuple[int, int], most: int) -> None:
    """Raise `Unrenderable` for an AVIF with larger frames, or more of them at once, than its canvas of *size* is worth.

    *most* frames of an animation are looked at, those that may come to be decoded.
    """
    canvas = size[0] * size[1]
    extents = [extent(stream) for stream in streams(data, b"av01", most)]
    if any(each.largest > max(canvas, _FREE) for each in extents):
        raise too_much_work()
    if sum(each.at_once for each in extents) > max(_MAX_CANVASES * canvas, _FREE):
        raise too_much_work()


def holds(kind: Format, size: tuple[int, int]) -> bool:
    """Whether renditions of that *size* are made in that format."""
    return kind not in MOST_PIXELS or size[0] * size[1] <= MOST_PIXELS[kind]


def _check_segments(data: bytes) -> float:
    at, held, spent = 2, _Coefficients(), dict.fromkeys(_MOST, 0)
    for _ in range(_MAX_SEGMENTS):
        at = data.find(b"\xff", at) + 1
        if at == 0 or at + 8 >= len(data):
            return 0.0
        marker = data[at]
        if marker in _BARE:
            at += marker != 0xFF
            continue
        length = int.from_bytes(data[at + 1 : at + 3], "big")
        if marker == _SOS:
            return held.bytes_per_pixel if data[at + 3] < held.components or held.progressive else 0.0
        if marker in _FRAMES:
            held = _Coefficients.of(data, at)
        if marker in spent and (marker != _APP1 or data.startswith(_EXIF, at + 3)):
            spent[marker] += length
            if spent[marker] > _MOST[marker]:
                break
        at += 1 + length
    raise too_much_work()


@dataclass(frozen=True, slots=True)
class _Coefficients:
    """What a JPEG's frame header says of the coefficients, all of which are held where there are several scans."""

    components: int = 0
    bytes_per_pixel: float = 0.0
    progressive: bool = False

    @classmethod
    def of(cls, data: bytes, marker: int) -> _Coefficients:
        """Those of the frame whose *marker* is there; two bytes for each sample (ITU-T T.81, section B.2.2)."""
        components = data[marker + 8]
        factors = [(each >> 4, each & 15) for each in data[marker + 10 : marker + 9 + 3 * components : 3]]
        most = max((across for across, _ in factors), default=1) * max((down for _, down in factors), default=1)
        share = sum(across * down for across, down in factors) / max(1, most)
        return cls(components, 2 * share, data[marker] in _PROGRESSIVE)


def _check_directory(data: bytes, max_pixels: int) -> float:
    """Gives the bytes of a pixel as it is stored: a strip may hold the whole picture, and is unpacked as a whole."""
    directory = Directory.of(data)
    if directory is None:
        return 0.0
    if directory.entries > _MAX_ENTRIES:
        raise too_much_work()
    said = {_WIDTH: 1, _LENGTH: 1, _TILE_WIDTH: 1, _TILE_LENGTH: 1, _COMPRESSION: 1, _SAMPLES: 1}
    bits, seen = 1, set()
    for tag in directory.tags(_MAX_ENTRIES):
        if tag.number in seen and (tag.number in said or tag.number == _BITS):
            raise corrupt()  # readers differ in which of two they believe
        seen.add(tag.number)
        if tag.type not in _BYTES and tag.count > (_MAX_OFFSETS if tag.number in _OFFSETS else _MAX_VALUES):
            raise too_much_work()
        if tag.number in said:
            said[tag.number] = tag.value
        elif tag.number == _BITS:
            bits = directory.first_short(tag)
    if said[_TILE_WIDTH] * said[_TILE_LENGTH] > min(_MAX_TILE, max_pixels):
        raise too_much_work()
    if _TILE_WIDTH in seen:
        across, down = max(1, said[_TILE_WIDTH]), max(1, said[_TILE_LENGTH])
        tiles = -(-said[_WIDTH] // across) * -(-said[_LENGTH] // down)
        if tiles * across * down > max_pixels + _MAX_TILE:
            raise too_much_work()
    if said[_COMPRESSION] not in _COMPRESSIONS:
        raise Unrenderable(N_("TIFF pictures in this compression cannot be read here."))
    return said[_SAMPLES] * bits / 8


def _check_runs(data: bytes) -> None:
    width, height = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
    long_header = int.from_bytes(data[14:18], "little") >= 40
    if long_header and int.from_bytes(data[30:34], "little") in _RLE and abs(width * height) > _MAX_RLE:
        raise too_much_work()
