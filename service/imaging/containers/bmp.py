"""The header of a BMP. This module does not import Pillow."""

from __future__ import annotations

from service.imaging.containers.container import Container
from service.imaging.containers.window import Bytes
from service.imaging.errors import too_much_work
from service.imaging.geometry import Size

_OS2_V1 = 12
"""Bytes of the first header of OS/2, whose sides have 16 bits."""
_OS2 = range(16, 65)
"""Bytes of the headers of OS/2, whose compressions differ from those of Windows."""
_WINDOWS = (40, 52, 56, 108, 124)
"""Bytes of the headers of Windows."""
_SIZED = frozenset({*_WINDOWS, 64})
"""Bytes of the headers with a width and height of 32 bits that are read."""
_COMPRESSIONS = {4: "JPEG", 5: "PNG", 6: "bit masks", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
"""Names of the compressions of Windows that are not read."""
_OS2_COMPRESSIONS = {3: "Huffman", 4: "RLE24"}
"""Names of the compressions of OS/2 that are not read."""
_RUN_LENGTHS = (1, 2)
"""Compressions by run lengths."""
_BITFIELDS = 3
"""The compression whose pixels have bit masks."""
_MASKED_DEPTHS = (16, 24, 32)
"""Bits per pixel that bit masks may describe."""
_UNREAD_DEPTHS = (2, 64)
"""Bits per pixel of Windows CE and of GDI+."""
_MAX_RUN_LENGTH_PIXELS = 2_000_000
"""Pixels of a run-length encoded BMP, which Pillow decodes in Python, in a quarter of a second at worst."""


def unread(data: bytes) -> str | None:
    """Return the name of the feature for which a reader refused *data*, or None if the header is broken."""
    header, bits, compression = _header(data), _little(data[28:30]), _compression(data)
    if header in _OS2 and header not in _WINDOWS:
        return _OS2_COMPRESSIONS.get(compression, "OS/2")
    if header not in _WINDOWS:
        return None
    if compression in _COMPRESSIONS:
        return _COMPRESSIONS[compression]
    if bits in _UNREAD_DEPTHS:
        return f"{bits} bits"
    return "bit masks" if compression == _BITFIELDS and bits in _MASKED_DEPTHS else None


def _matches(head: bytes) -> bool:
    return head.startswith(b"BM")


def _alpha(data: Bytes) -> bool:
    """Return whether 32 bits have a mask for alpha. Without a mask the fourth byte is padding."""
    head = data[:70]
    return _header(head) >= 56 and _little(head[28:30]) == 32 and _compression(head) == _BITFIELDS and any(head[66:70])


def _upright_size(data: Bytes) -> Size | None:
    head = data[:26]
    header = _header(head)
    if header == _OS2_V1:
        return _little(head[18:20]), _little(head[20:22])
    # A negative height means that the rows run from the top.
    return (_little(head[18:22]), abs(_signed(head[22:26]))) if header in _SIZED else None


def _check(data: bytes, max_pixels: int) -> float:
    pixels = abs(_signed(data[18:22]) * _signed(data[22:26]))
    if _header(data) >= 40 and _compression(data) in _RUN_LENGTHS and pixels > _MAX_RUN_LENGTH_PIXELS:
        raise too_much_work()
    return 0.0


def _stripped(data: bytes, turn: int, most_frames: int) -> bytes:
    """Return *data*: a BMP has no metadata."""
    return data


def _header(data: bytes) -> int:
    """Return the bytes of the information header, which identify its version."""
    return _little(data[14:18])


def _compression(data: bytes) -> int:
    return _little(data[30:34])


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


CONTAINER = Container(_matches, _upright_size, _alpha, check=_check, stripped=_stripped)
