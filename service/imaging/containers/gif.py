"""A GIF's colour tables and sub-blocks, from the bytes alone (GIF89a, sections 15, 19 and 21)."""

from __future__ import annotations


def table_bytes(flags: int) -> int:
    """Bytes of the colour table that *flags* announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def after_blocks(data: bytes, at: int) -> int:
    """Where the sub-blocks from *at* on have ended."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1
