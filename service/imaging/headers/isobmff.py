"""Where the coded pictures of an AVIF or HEIC lie: boxes, items and samples (ISO/IEC 14496-12). Knows no codec.

What it finds is at least what a reader would decode; whether the boxes are right is left to the reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from service.imaging.faults import corrupt, too_much_work

_MAX_STEPS = 20_000
"""Boxes, entries and extents that are looked at. A grid of 50 megapixels in tiles of 256 has 800 of each."""
_MAX_SAMPLES = 500_000
"""Of a track, as its tables may add up to."""
_HOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


class _Steps:
    """How much has been looked at, over the whole file."""

    def __init__(self) -> None:
        self._left = _MAX_STEPS

    def take(self, steps: int = 1) -> None:
        self._left -= steps
        if self._left < 0:
            raise too_much_work()


def streams(data: bytes, codec: bytes, most: int) -> Iterator[Iterator[bytes]]:
    """What decoders of that *codec* (`av01`, `hvc1`) may be given: each item, and each track as *most* samples.

    Raises:
        Unrenderable: more entries than are looked at, or items that together are longer than the file.
    """
    steps = _Steps()
    for box in _boxes(data, 0, len(data), steps):
        if box.kind == b"meta":
            yield from (iter((item,)) for item in _items(data, box, codec, steps))
        elif box.kind == b"moov":
            for table in _tables(data, box, steps):
                yield _samples(data, table, codec, most, steps)


def check_samples(data: bytes) -> None:
    """Raise `Unrenderable` for a track of very many samples, for a reader makes a list of them all."""
    steps = _Steps()
    for box in _boxes(data, 0, len(data), steps):
        if box.kind != b"moov":
            continue
        for table in _tables(data, box, steps):
            sizes, runs, chunks = table.get(b"stsz"), table.get(b"stsc"), table.get(b"stco") or table.get(b"co64")
            counted = _number(data, sizes.start + 8, 4) if sizes else 0
            if runs and chunks:
                entries = range(runs.start + 12, min(runs.end, runs.start + 12 * (_MAX_STEPS + 1)), 12)
                longest = max((_number(data, at, 4) for at in entries), default=0)
                counted = max(counted, longest * _number(data, chunks.start + 4, 4))
            if counted > _MAX_SAMPLES:
                raise too_much_work()


def _boxes(data: bytes, at: int, end: int, steps: _Steps) -> Iterator[_Box]:
    while at + 8 <= end:
        steps.take()
        size, start = _number(data, at, 4), at + 8
        if size == 1:
            size, start = _number(data, at + 8, 8), at + 16
        last = end if size == 0 else min(end, at + size)
        yield _Box(data[at + 4 : at + 8], start, last)
        if last <= at + 7:
            return
        at = last


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _items(data: bytes, meta: _Box, codec: bytes, steps: _Steps) -> Iterator[bytes]:
    coded: set[int] = set()
    places: list[_Box] = []
    store = len(data)
    for box in _boxes(data, meta.start + 4, meta.end, steps):
        if box.kind == b"iinf":
            first = box.start + (6 if data[box.start] == 0 else 8) if box.start < box.end else box.end
            coded.update(_of_codec(data, _Box(b"iinf", first, box.end), codec, steps))
        elif box.kind == b"iloc":
            places.append(box)
        elif box.kind == b"idat":
            store = box.start
    left = len(data)
    for place in places:
        for item, piece in _located(data, place, store, steps):
            if item in coded:
                left -= len(piece)
                if left < 0:
                    raise corrupt()
                yield piece


def _of_codec(data: bytes, entries: _Box, codec: bytes, steps: _Steps) -> Iterator[int]:
    for box in _boxes(data, entries.start, entries.end, steps):
        wide = 4 if data[box.start : box.start + 1] == b"\3" else 2
        kind = box.start + 4 + wide + 2
        if data[kind : kind + 4] == codec:
            yield _number(data, box.start + 4, wide)


def _located(data: bytes, iloc: _Box, store: int, steps: _Steps) -> Iterator[tuple[int, bytes]]:
    """Every item's number and bytes (section 8.11.3)."""
    version, sizes = _number(data, iloc.start, 1), _number(data, iloc.start + 4, 2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    at = iloc.start + 6 + wide
    for _ in range(_number(data, iloc.start + 6, wide)):
        if at >= iloc.end:
            return
        steps.take()
        item, at = _number(data, at, wide), at + wide
        within = 0
        if version:
            within, at = _number(data, at, 2) & 15, at + 2
        base, at = _number(data, at + 2, base_size), at + 2 + base_size
        extents, at = _number(data, at, 2), at + 2
        steps.take(extents)
        pieces = []
        for _ in range(extents):
            at += index_size if version else 0
            start = base + _number(data, at, offset_size) + (store if within == 1 else 0)
            length = _number(data, at + offset_size, length_size)
            at += offset_size + length_size
            pieces.append(data[start : start + length if length else len(data)])
        if sum(map(len, pieces)) > len(data):
            raise corrupt()
        yield item, b"".join(pieces)


def _tables(data: bytes, box: _Box, steps: _Steps) -> Iterator[dict[bytes, _Box]]:
    """The sample table of each track within *box*."""
    inner = list(_boxes(data, box.start, box.end, steps))
    if box.kind == b"stbl":
        table = {each.kind: each for each in inner}
        if len(table) < len(inner) or {b"stco", b"co64"} <= table.keys():
            raise corrupt()  # readers differ in which of two they believe
        yield table
        return
    for each in inner:
        if each.kind in _HOLDERS:
            yield from _tables(data, each, steps)


def _samples(data: bytes, table: dict[bytes, _Box], codec: bytes, most: int, steps: _Steps) -> Iterator[bytes]:
    """The first *most* samples (sections 8.7.3 to 8.7.5)."""
    described, sizes, runs = (table.get(kind) for kind in (b"stsd", b"stsz", b"stsc"))
    chunks = table.get(b"stco") or table.get(b"co64")
    if described is None or sizes is None or runs is None or chunks is None:
        return
    if codec not in data[described.start : described.end]:
        return
    wide = 4 if chunks.kind == b"stco" else 8
    same, count = _number(data, sizes.start + 4, 4), min(most, _number(data, sizes.start + 8, 4))
    starts = {}
    for number in range(_number(data, runs.start + 4, 4)):
        steps.take()
        at = runs.start + 8 + 12 * number
        if at >= runs.end:
            break
        starts[_number(data, at, 4)] = _number(data, at + 4, 4)
    sample = per_chunk = 0
    for chunk in range(_number(data, chunks.start + 4, 4)):
        steps.take()
        per_chunk = starts.get(chunk + 1, per_chunk)
        start = _number(data, chunks.start + 8 + wide * chunk, wide)
        for _ in range(per_chunk):
            if sample >= count:
                return
            steps.take()
            length = same or _number(data, sizes.start + 12 + 4 * sample, 4)
            yield data[start : start + length]
            start, sample = start + length, sample + 1
