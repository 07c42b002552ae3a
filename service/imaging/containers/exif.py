"""The orientation in an EXIF block (EXIF 2.3, tag 274), in bounded time. This module does not import Pillow."""

from __future__ import annotations

import struct

from service.imaging.containers.tiff_directory import LONG, MAGIC, SHORT, Directory

PREFIX = b"Exif\0\0"
"""The bytes before the block in a JPEG. Some writers put them into other formats too."""
RAW_PROFILE = b"Raw profile type exif\0"
"""The keyword of the PNG text chunk in which ImageMagick wrote EXIF before PNG had a chunk for it."""

_ORIENTATION = 274
"""The number of the tag."""
_MAX_TAGS = 1024
"""Entries of a directory that are read."""
_BLOCK = struct.Struct(">2sHIHHHIHxxI")


def orientation(block: bytes) -> int:
    """Return the orientation in *block*, 1 to 8; 1 where the block is broken or has none."""
    at = 0
    while block.startswith(PREFIX, at):
        at += len(PREFIX)
    if not block.startswith(MAGIC, at):
        return 1
    directory = Directory.of(block[at:])
    turn = 1
    for tag in directory.tags(_MAX_TAGS) if directory else ():
        if tag.number == _ORIENTATION:
            turn = tag.value if tag.type in (SHORT, LONG) and tag.count == 1 else 1
    return turn if 1 <= turn <= 8 else 1


def block_of(turn: int) -> bytes:
    """Return a block that holds only the orientation *turn*, without the prefix; empty for 1, the default."""
    return _BLOCK.pack(b"MM", 42, 8, 1, _ORIENTATION, SHORT, 1, turn, 0) if turn != 1 else b""


def raw_profile(text: bytes) -> bytes:
    """Return the EXIF block in the *text* of a raw profile; empty where it is broken.

    The block is hexadecimal and follows three lines of heading.
    """
    *_, digits = text.split(b"\n", 3)
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""
