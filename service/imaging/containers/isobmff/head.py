"""The brand of a file, and whether it declares transparency. This module does not import Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from service.errors import Unrenderable
from service.imaging.containers.isobmff.boxes import Steps, boxes
from service.imaging.containers.window import HEAD_BYTES, Bytes

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"})
_BRANDS = AVIF_BRANDS | HEIC_BRANDS
_ALPHA_AUXILIARIES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
"""Types of auxiliary pictures that hold transparency."""
_MAX_BRANDS = 1024
"""Compatible brands that are read."""
_MAX_BOXES = 1024
"""Boxes that are read to find a description of transparency."""


def brand(head: bytes) -> bytes | None:
    """Return the first known brand: the major brand, or a compatible brand where the major brand is a general one."""
    if head[4:8] != b"ftyp":
        return None
    end = min(len(head), int.from_bytes(head[:4], "big"), 8 + 4 * _MAX_BRANDS)
    brands = (head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4)))
    return next((each for each in brands if each in _BRANDS), None)


def alpha(data: Bytes) -> bool:
    """Return whether *data* has an auxiliary picture with transparency."""
    return any(urn in part for part in (data[:HEAD_BYTES], *_descriptions(data)) for urn in _ALPHA_AUXILIARIES)


def _descriptions(data: Bytes) -> Iterator[bytes]:
    """Yield the first bytes of each box that describes pictures and does not lie in the head."""
    with suppress(Unrenderable):  # too many boxes: the reader raises this too
        for box in boxes(data, 0, len(data), Steps(_MAX_BOXES)):
            if box.kind in (b"meta", b"moov") and box.end > HEAD_BYTES:
                yield data[box.start : min(box.end, box.start + HEAD_BYTES)]
