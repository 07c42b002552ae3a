"""The contents of PNG's chunks for colours and orientation, and which of them are usable. Knows no Pillow."""

from __future__ import annotations

import zlib

CodePoints = tuple[int, int, int, int]
"""Colour primaries, transfer function, matrix coefficients (ITU-T H.273), and 1 for the full range or 0."""

_PRIMARIES = frozenset({1, *range(4, 13), 22})
_TRANSFERS = frozenset({1, *range(4, 19)})
"""The code points that H.273 assigns; 2 is "unspecified"."""
_MAX_PROFILE = 4_194_304
"""Bytes of an ICC profile. Those of presses have 0.5 to 2 MB; to inflate this many takes some 10 ms."""
_MAX_EXIF = 1_048_576
"""Characters of a text that holds Exif. A camera's block has 64 KiB at most, which are 130,000 characters."""
_ICC_HEADER = 128
RAW_EXIF = b"Raw profile type exif\0"
"""The keyword of the text in which ImageMagick kept Exif before there was a chunk for it."""


def code_points(content: bytes) -> CodePoints | None:
    """The code points in the content of a cICP chunk (11.3.2.6); None if it has none that mean anything."""
    if len(content) != 4:
        return None
    primaries, transfer, matrix, full_range = content
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS or matrix or full_range > 1:
        return None
    return primaries, transfer, matrix, full_range


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


def raw_exif(chunk: bytes) -> bytes:
    """The Exif block in a text chunk, its type before its content; empty if there is none.

    Three lines are a heading. The rest is hexadecimal.
    """
    kind, content = chunk[:4], chunk[4 + len(RAW_EXIF) :]
    if kind == b"iTXt":
        packed, method = content[:1] != b"\0", content[1:2]
        content = content[2:].split(b"\0", 2)[-1]
    else:
        packed, method = kind == b"zTXt", content[:1]
        content = content[packed:]
    if packed:
        content = _inflated(content, _MAX_EXIF)[0] if method == b"\0" else b""
    *_, digits = content[:_MAX_EXIF].split(b"\n", 3)
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:  # a broken block is no reason to refuse the picture
        return b""


def _inflated(packed: bytes, most: int) -> tuple[bytes, bool]:
    """What a zlib stream holds, and whether that is all of it; nothing if that is more than *most* bytes."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, most + 1)
    except zlib.error:
        return b"", False
    return (data, stream.eof) if len(data) <= most else (b"", False)
