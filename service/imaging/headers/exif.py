"""Which way up, from a block of Exif (2.32, tag 274). Follows no offset but the first, knows no Pillow."""

from __future__ import annotations

from service.imaging.headers.tiff import MAGIC, Directory

_PREFIX = b"Exif\0\0"
_ORIENTATION = 274
_SHORT, _LONG = 3, 4
_MAX_ENTRIES = 4096


def turn(block: bytes) -> int:
    """1 to 8; 1 too where the block is broken or says nothing."""
    block = block.removeprefix(_PREFIX).removeprefix(_PREFIX)  # some write it twice
    directory = Directory.of(block) if block.startswith(MAGIC) else None
    if directory is None:
        return 1
    said = [
        tag.value
        for tag in directory.tags(_MAX_ENTRIES)
        if tag.number == _ORIENTATION and tag.type in (_SHORT, _LONG) and tag.count == 1
    ]
    return said[-1] if said and 1 <= said[-1] <= 8 else 1
