"""What a BMP's header says of how its pixels are stored. Knows no Pillow."""

from __future__ import annotations

_OS2 = range(16, 65)
"""Bytes of OS/2's headers, whose compressions are its own; Windows has 40, 52, 56, 108 and 124."""
_WINDOWS = (40, 52, 56, 108, 124)
_COMPRESSIONS = {4: "JPEG", 5: "PNG", 6: "bit masks", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_OF_OS2 = {3: "Huffman", 4: "RLE24"}
_BITFIELDS, _OF_MASKS = 3, (16, 24, 32)
_DEPTHS = (2, 64)
"""Bits a pixel of Windows CE and of GDI+."""


def unread(data: bytes) -> str | None:
    """The name of the feature for which a reader refused *data*, or None if the header is broken."""
    header, bits, compression = (int.from_bytes(data[at:end], "little") for at, end in ((14, 18), (28, 30), (30, 34)))
    if header in _OS2 and header not in _WINDOWS:
        return _OF_OS2.get(compression, "OS/2")
    if header not in _WINDOWS:
        return None
    if compression in _COMPRESSIONS:
        return _COMPRESSIONS[compression]
    if bits in _DEPTHS:
        return f"{bits} bits"
    return "bit masks" if compression == _BITFIELDS and bits in _OF_MASKS else None
