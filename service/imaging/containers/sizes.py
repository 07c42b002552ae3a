"""A picture's upright width and height from its header, by its format. Pure, bounded, no Pillow.

Every reader gives None where the header does not tell, or not beyond doubt: a picture that a decoder refuses may have
any size here, and one that a decoder accepts has its own size or None.
"""

from __future__ import annotations

from service.errors import Unrenderable
from service.formats import Format
from service.imaging.containers.avif import picture_size
from service.imaging.containers.exif import orientation
from service.imaging.containers.gif import table_bytes
from service.imaging.containers.jpeg import Header
from service.imaging.containers.png_chunks import chunks
from service.imaging.containers.png_values import ExifBlock
from service.imaging.containers.tiff import Directory
from service.imaging.containers.window import Bytes

Size = tuple[int, int]

_MAX_STEPS = 5_000
"""Chunks or blocks that are walked. The size of a file with more of them is None."""
_MAX_BLOCK = 1_048_576
"""Bytes of EXIF that are read."""
_MAX_TAGS = 1024
_BMP_HEADERS = frozenset({40, 52, 56, 64, 108, 124})
_WIDTH, _LENGTH, _ORIENTATION = 256, 257, 274
_SHORT, _LONG, _LONG8 = 3, 4, 16


def upright_size(data: Bytes, kind: Format) -> Size | None:
    """Width and height in pixels of the picture of that *kind*, turned upright."""
    read = _READERS.get(kind)
    size = read(data) if read else None
    return size if size is not None and min(size) > 0 else None


def _jpeg(data: Bytes) -> Size | None:
    try:
        header = Header.of(data, with_profile=False)
    except Unrenderable:
        return None  # the reader will say why
    return _turned(header.frame.size, orientation(header.exif))


def _png(data: Bytes) -> Size | None:
    """IHDR, and an Exif block, which may follow the pixels."""
    size: Size | None = None
    exif, held, end = ExifBlock(), 0, 0
    for step, found in enumerate(chunks(data)):
        kind, begin, end = found
        if kind == b"IHDR" and size is None:
            size = _big(data[begin : begin + 4]), _big(data[begin + 4 : begin + 8])
        elif exif.may_be_in(data, found):
            held += end - begin
            if held > _MAX_BLOCK:
                return None
            exif.take(data, found)
        if kind == b"IEND":
            break
        if step == _MAX_STEPS:
            return None
    else:
        if len(data[end + 4 : end + 12]) < 8 <= len(data) - end - 4:
            return None  # there is more than may be read
    return _turned(size, orientation(exif.content))


def _gif(data: Bytes) -> Size | None:
    """The logical screen, which readers widen where the first frame sticks out of it."""
    head = data[:13]
    if len(head) < 13:
        return None
    at = 13 + table_bytes(head[10])
    steps = _MAX_STEPS
    while steps > 0 and (piece := data[at : at + 9]):
        steps -= 1
        if piece[0] == 0x2C:
            left, top, across, down = (_little(piece[i : i + 2]) for i in (1, 3, 5, 7))
            return max(_little(head[6:8]), left + across), max(_little(head[8:10]), top + down)
        if piece[0] == 0x3B:
            return None
        if piece[0] != 0x21:
            at += 1
            continue
        at += 2
        while steps > 0 and (length := data[at : at + 1]) and length != b"\0":
            at, steps = at + 1 + length[0], steps - 1
        at += 1
    return None


def _webp(data: Bytes) -> Size | None:
    """The canvas, or the one frame's size; EXIF counts where the flag of the extended format announces it."""
    head = data[:30]
    kind = head[12:16]
    if kind == b"VP8L" and len(head) >= 25:
        bits = _little(head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(head) < 30:
        return None
    if kind == b"VP8 ":
        return _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF
    if kind != b"VP8X":
        return None
    size = _little(head[24:27]) + 1, _little(head[27:30]) + 1
    if not head[20] & 0x08:
        return size
    at, end = 12, min(len(data), 8 + _little(head[4:8]))
    for _ in range(_MAX_STEPS):
        if at + 8 > end:
            return size
        piece = data[at : at + 8]
        length = _little(piece[4:])
        if len(piece) < 8:
            return None
        if piece[:4] == b"EXIF":
            return _turned(size, orientation(data[at + 8 : at + 8 + length])) if length <= _MAX_BLOCK else None
        at += 8 + length + (length & 1)
    return None


def _tiff(data: Bytes) -> Size | None:
    directory = Directory.of(data)
    if directory is None or directory.entries > _MAX_TAGS:
        return None
    tags = {tag.number: tag for tag in directory.tags(_MAX_TAGS)}
    sides = []
    for number in (_WIDTH, _LENGTH):
        tag = tags.get(number)
        if tag is None or tag.count != 1 or tag.type not in (_SHORT, _LONG, _LONG8):
            return None
        sides.append(tag.offset if tag.type == _LONG8 else tag.value)
    turn = tags.get(_ORIENTATION)
    if turn is None:
        return sides[0], sides[1]
    return _turned((sides[0], sides[1]), turn.value) if turn.count == 1 and turn.type in (_SHORT, _LONG) else None


def _bmp(data: Bytes) -> Size | None:
    """A height below zero says that the rows run from the top."""
    head = data[:26]
    header = _little(head[14:18])
    if header == 12:
        return _little(head[18:20]), _little(head[20:22])
    if header not in _BMP_HEADERS:
        return None
    return _little(head[18:22]), abs(int.from_bytes(head[22:26], "little", signed=True))


def _turned(size: Size | None, turn: int) -> Size | None:
    return (size[1], size[0]) if size is not None and 5 <= turn <= 8 else size


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


_READERS = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.GIF: _gif,
    Format.WEBP: _webp,
    Format.TIFF: _tiff,
    Format.BMP: _bmp,
    Format.AVIF: picture_size,
    Format.HEIC: picture_size,
}
