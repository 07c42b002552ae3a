"""Coding-independent code points (ITU-T H.273): how AV1, the ISO base media file format and PNG describe colours."""

from __future__ import annotations

from typing import NamedTuple


class CodePoints(NamedTuple):
    """The numbers of H.273's tables; *full_range* is 1 for full range, else 0."""

    primaries: int
    transfer: int
    matrix: int
    full_range: int
