"""The contents of PNG's chunks for colours and orientation, and which of them are usable. Knows no Pillow."""

from __future__ import annotations

import zlib

from service.imaging.containers.cicp import CodePoints
from service.imaging.containers.exif import RAW_PROFILE, raw_profile
from service.imaging.containers.png.chunks import Chunk, sound
from service.imaging.containers.window import Bytes

_PRIMARIES = frozenset({1, *range(4, 13), 22})
_TRANSFERS = frozenset({1, *range(4, 19)})
"""The code points that H.273 assigns; 2 is "unspecified"."""
_MAX_PROFILE = 4_194_304
"""Bytes of an ICC profile. Those of presses have 0.5 to 2 MB; to inflate this many takes some 10 ms."""
_MAX_TEXT = 1_048_576
"""Characters of a text that holds Exif. A camera's block has 64 KiB at most, which are 130,000 characters."""
_ICC_HEADER = 128
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))


def code_points(content: bytes) -> CodePoints | None:
    """The code points in the content of a cICP chunk (11.3.2.6); None if it has none that mean anything.

    Those of the narrow range are passed over, as browsers do it.
    """
    if len(content) != 4:
        return None
    primaries, transfer, matrix, full_range = content
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS or matrix or full_range != 1:
        return None
    return CodePoints(primaries, transfer, matrix, full_range)


def icc_profile(content: bytes) -> bytes:
    """The profile in the content of an iCCP chunk (11.3.2.3); empty if it is unusable."""
    name, _, packed = content.partition(b"\0")
    if not 1 <= len(name) <= 79 or packed[:1] != b"\0":
        return b""
    profile, whole = _inflated(packed[1:], _MAX_PROFILE)
    size = int.from_bytes(profile[:4], "big")
    if len(profile) < _ICC_HEADER or (not whole and len(profile) < size):
        return b""
    return profile


class ExifBlock:
    """The Exif block of a PNG: that of the first sound eXIf chunk, else that of ImageMagick's first sound text.

    One text is unpacked at most.
    """

    def __init__(self) -> None:
        self._chunk: bytes | None = None
        self._text: bytes | None = None

    @property
    def content(self) -> bytes:
        """The block so far; empty if there is none."""
        return self._chunk or self._text or b""

    @staticmethod
    def may_be_in(data: Bytes, found: Chunk) -> bool:
        """Whether that chunk, be it sound or not, is of a type and a keyword that stand for Exif."""
        kind, begin, _ = found
        return kind == b"eXIf" or (kind in _TEXTS and data[begin : begin + len(RAW_PROFILE)] == RAW_PROFILE)

    def take(self, data: Bytes, found: Chunk) -> None:
        """Look at a chunk that it may be in."""
        kind, begin, end = found
        if (self._chunk if kind == b"eXIf" else self._text) is not None or not sound(data, found):
            return
        if kind == b"eXIf":
            self._chunk = data[begin:end]
        else:
            self._text = _raw_profile(kind, data[begin + len(RAW_PROFILE) : end])


def _raw_profile(kind: bytes, text: bytes) -> bytes:
    """The Exif block in a text chunk of that *kind*, after its keyword; empty if it is broken."""
    if kind == b"iTXt":
        packed, method = text[:1] != b"\0", text[1:2]
        text = text[2:].split(b"\0", 2)[-1]
    else:
        packed, method = kind == b"zTXt", text[:1]
        text = text[packed:]
    if packed:
        text = _inflated(text, _MAX_TEXT)[0] if method == b"\0" else b""
    return raw_profile(text[:_MAX_TEXT])


def _inflated(packed: bytes, most: int) -> tuple[bytes, bool]:
    """What a zlib stream holds, and whether that is all of it; nothing if that is more than *most* bytes."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, most + 1)
    except zlib.error:
        return b"", False
    return (data, stream.eof) if len(data) <= most else (b"", False)
