"""Which way up an EXIF block says that its picture is (EXIF 2.3, tag 274). Pure, bounded, knows no Pillow."""

from __future__ import annotations

from service.imaging.containers.tiff import MAGIC, Directory

PREFIX = b"Exif\0\0"
"""Before the block in JPEG, and needlessly at times elsewhere."""
RAW_PROFILE = b"Raw profile type exif\0"
"""The keyword of a PNG's text chunk in which ImageMagick wrote EXIF before there was a chunk for it."""

_ORIENTATION = 274
_SHORT, _LONG = 3, 4
_MAX_TAGS = 1024


def orientation(block: bytes) -> int:
    """1 to 8; 1 too where *block* is broken, or does not say it."""
    at = 0
    while block.startswith(PREFIX, at):
        at += len(PREFIX)
    if not block.startswith(MAGIC, at):
        return 1
    directory = Directory.of(block[at:])
    turn = 1
    for tag in directory.tags(_MAX_TAGS) if directory else ():
        if tag.number == _ORIENTATION:
            turn = tag.value if tag.type in (_SHORT, _LONG) and tag.count == 1 else 1
    return turn if 1 <= turn <= 8 else 1


def raw_profile(text: bytes) -> bytes:
    """The EXIF block in a raw profile's *text*: hexadecimal under three lines of heading. Empty where it is broken."""
    *_, digits = text.split(b"\n", 3)
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""
