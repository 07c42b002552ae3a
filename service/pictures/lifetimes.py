"""Lifetimes of records and renditions. Each is shortened by up to a tenth, so that entries do not expire together."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from service.pictures.values import Entry

_JITTER = 0.1
"""The largest share by which a lifetime is shortened."""


@dataclass(frozen=True, slots=True)
class RecordLifetimes:
    """Lifetimes in seconds."""

    fresh: float
    """Seconds that the record of an original is fresh."""
    missing: float
    """Seconds that the record of a missing original is fresh."""
    unrenderable: float
    """Seconds that a fault or a failure counts."""
    stale_while_revalidate: float
    """Seconds that a stale record is served while it is revalidated."""
    stale_if_error: float
    """Seconds that a stale record, or an older rendition, is served while the store or the renderer fails."""
    kept: float
    """Seconds that entries are kept in the shared cache."""


def jitter_of(text: str) -> float:
    """Return the factor for a lifetime: for the same *text*, the same in every process."""
    return 1.0 - _JITTER * (crc32(text.encode()) & 0xFFFF) / 0x10000


def jitter(entry: Entry) -> float:
    """Return the factor for the lifetime of *entry*: another one for each put."""
    return jitter_of(f"{entry.version}{entry.stored_at}")
