"""The largest renditions that each format holds. This module does not import Pillow."""

from __future__ import annotations

from service.formats import Format
from service.imaging.geometry import Size

MOST_PIXELS = {Format.AVIF: 16_000_000}
"""Pixels of the largest rendition, for formats that hold less than `max_dimension` allows. The writer of AVIF takes 30
bytes per pixel with transparency."""


def holds(kind: Format, size: Size) -> bool:
    """Return whether *kind* holds a rendition of *size*, the width and height in pixels."""
    return kind not in MOST_PIXELS or size[0] * size[1] <= MOST_PIXELS[kind]
