"""The format, transparency, size and limits of a HEIC. This module does not import Pillow."""

from __future__ import annotations

from service.imaging.containers.container import Container
from service.imaging.containers.isobmff.head import HEIC_BRANDS, alpha, brand
from service.imaging.containers.isobmff.items import check
from service.imaging.containers.isobmff.picture import upright_size

_HELD = 4.0
"""Bytes per pixel of planes whose colour has half the width and height, and of RGB (`python -m tools.bench memory`)."""
FULL_COLOUR_HELD = 12.0
"""Bytes per pixel of planes whose colour has the full width and height."""


def _matches(head: bytes) -> bool:
    return brand(head) in HEIC_BRANDS


def _check(data: bytes, max_pixels: int) -> float:
    check(data)
    return _HELD


CONTAINER = Container(_matches, upright_size, alpha, check=_check)
