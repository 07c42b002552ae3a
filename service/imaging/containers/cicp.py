"""Coding-independent code points (ITU-T H.273), with which AV1, ISO base media files and PNG describe colours."""

from __future__ import annotations

from typing import NamedTuple


class CodePoints(NamedTuple):
    """Numbers from the tables of H.273. *full_range* is 1 for full range and 0 for narrow range."""

    primaries: int
    transfer: int
    matrix: int
    full_range: int
