"""The parts of the headers of pictures that many answers have in common, as bytes."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import hdrs

from service.formats import Format
from service.pictures.selection import Selection
from service.web.headers import common, describe_body, serves_ranges, vary
from service.web.prebuilt import head
from service.web.sharing import SharingHeaders


class Heads(NamedTuple):
    """The parts of the headers of 200 and 304 that many pictures have in common, and the suffix of their files."""

    full: bytes
    unchanged: bytes
    suffix: str


class CommonHeads:
    """Makes the heads of a format once, with the fields of *sharing*."""

    def __init__(self, sharing: SharingHeaders) -> None:
        self._sharing = sharing
        self._heads: dict[tuple[Format, bool, bool], Heads] = {}

    def of(self, selection: Selection, contact: int, *, negotiated: bool) -> Heads:
        """Return the heads of *selection*. *negotiated*: `Accept` counts."""
        key = selection.choice.format, serves_ranges(selection), negotiated
        if (heads := self._heads.get(key)) is None:
            unchanged = common(None, vary(negotiated=negotiated, worded=False))
            self._sharing.add_vary(unchanged)
            full = unchanged.copy()
            describe_body(full, selection, contact, "")
            del full[hdrs.CONTENT_DISPOSITION]
            heads = Heads(head(200, full.items()), head(304, unchanged.items()), selection.choice.format.suffix)
            self._heads[key] = heads
        return heads
