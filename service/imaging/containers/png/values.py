"""The contents of chunks for colours and orientation. This module does not import Pillow."""

from __future__ import annotations

import zlib

from service.imaging.containers.cicp import CodePoints
from service.imaging.containers.exif import RAW_PROFILE, raw_profile
from service.imaging.containers.png.chunks import Chunk, sound
from service.imaging.containers.window import Bytes

_PRIMARIES = frozenset({1, *range(4, 13), 22})
_TRANSFERS = frozenset({1, *range(4, 19)})
"""Code points that H.273 assigns, without 2, "unspecified"."""
_MAX_PROFILE = 4_194_304
"""Bytes of an ICC profile, which take about 10 ms to inflate. Profiles of presses have 0.5 to 2 MB."""
_MAX_TEXT = 1_048_576
"""Characters of a text with Exif. The block of a camera has at most 64 KiB, which are 130,000 characters."""
_ICC_HEADER = 128
"""Bytes of the header of an ICC profile."""
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))


def code_points(content: bytes) -> CodePoints | None:
    """Return the code points in the content of a cICP chunk (11.3.2.6), or None if they are not usable.

    Code points with the narrow range are not used, as in browsers.
    """
    if len(content) != 4:
        return None
    primaries, transfer, matrix, full_range = content
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS or matrix or full_range != 1:
        return None
    return CodePoints(primaries, transfer, matrix, full_range)


def icc_profile(content: bytes) -> bytes:
    """Return the profile in the content of an iCCP chunk (11.3.2.3); empty if it is not usable."""
    name, _, packed = content.partition(b"\0")
    if not 1 <= len(name) <= 79 or packed[:1] != b"\0":
        return b""
    profile, whole = _inflated(packed[1:], _MAX_PROFILE)
    size = int.from_bytes(profile[:4], "big")
    if len(profile) < _ICC_HEADER or (not whole and len(profile) < size):
        return b""
    return profile


class ExifBlock:
    """The Exif block of a PNG: from the first sound eXIf chunk, otherwise from the first sound text of ImageMagick.

    At most one text is inflated.
    """

    def __init__(self) -> None:
        self._chunk: bytes | None = None
        self._text: bytes | None = None

    @property
    def content(self) -> bytes:
        """The block that was found so far; empty if there is none."""
        return self._chunk or self._text or b""

    @staticmethod
    def may_be_in(data: Bytes, found: Chunk) -> bool:
        """Return whether the chunk *found* has a type and a keyword for Exif. It need not be sound."""
        kind, begin, _ = found
        return kind == b"eXIf" or (kind in _TEXTS and data[begin : begin + len(RAW_PROFILE)] == RAW_PROFILE)

    def take(self, data: Bytes, found: Chunk) -> None:
        """Use the chunk *found* if it is the first sound one of its kind."""
        kind, begin, end = found
        if (self._chunk if kind == b"eXIf" else self._text) is not None or not sound(data, found):
            return
        if kind == b"eXIf":
            self._chunk = data[begin:end]
        else:
            self._text = _raw_profile(kind, data[begin + len(RAW_PROFILE) : end])


def _raw_profile(kind: bytes, text: bytes) -> bytes:
    """Return the Exif block in the *text* that follows the keyword of a chunk; empty if it is broken."""
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
    """Return the data of a zlib stream and whether they are complete; no data if there are more than *most* bytes."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, most + 1)
    except zlib.error:
        return b"", False
    return (data, stream.eof) if len(data) <= most else (b"", False)
