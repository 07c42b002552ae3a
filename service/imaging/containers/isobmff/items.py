"""The positions of coded pictures: items and samples (ISO/IEC 14496-12). This module does not parse coded data.

It finds at least the pictures that a reader decodes. It does not check the boxes, since the reader checks them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from service.imaging.containers.isobmff.boxes import MAX_STEPS, Box, Steps, boxes, number
from service.imaging.containers.window import Bytes
from service.imaging.errors import corrupt, too_much_work

_MAX_SAMPLES = 500_000
"""Samples of a track, by the totals of its tables."""
_MAX_ITEMS = 4096
"""Entries of each list of items. Readers look up every entry among all others. A grid of 50 megapixels in tiles of 256
pixels has 800 tiles, and 800 more for its transparency."""
_HOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
"""Boxes that hold the tables of a track."""


class Stream(NamedTuple):
    """The *pieces* that one decoder may get, and the number of *times*: items may share their bytes."""

    pieces: Iterator[bytes]
    times: int


Extents = tuple[tuple[int, int], ...]
"""The starts and ends of the parts of an item."""


def streams(data: bytes, codec: bytes, most: int) -> Iterator[Stream]:
    """Yield the data for decoders of that *codec* (`av01`, `hvc1`): each item, and *most* samples of each track.

    Items with the same extents, such as tiles of a grid that are stored once, are one stream.

    Raises:
        Unrenderable: there are too many entries, or the items together are longer than the file.
    """
    steps = Steps()
    for box in boxes(data, 0, len(data), steps):
        if box.kind == b"meta":
            yield from _items(data, box, codec, steps)
        elif box.kind == b"moov":
            for table in _tables(data, box, steps):
                yield Stream(samples(data, table, codec, most, steps), 1)


def check(data: bytes) -> None:
    """Raise `Unrenderable` when there are too many samples or items, which would keep a reader busy for minutes."""
    _check_samples(data)
    _check_items(data)


def _check_samples(data: bytes) -> None:
    """Raise `Unrenderable` when a track has very many samples: readers make a list of all of them."""
    steps = Steps()
    for box in boxes(data, 0, len(data), steps):
        if box.kind != b"moov":
            continue
        for table in _tables(data, box, steps):
            sizes, runs, chunks = table.get(b"stsz"), table.get(b"stsc"), table.get(b"stco") or table.get(b"co64")
            counted = number(data, sizes.start + 8, 4) if sizes else 0
            if runs and chunks:
                entries = range(runs.start + 12, min(runs.end, runs.start + 12 * (MAX_STEPS + 1)), 12)
                longest = max((number(data, at, 4) for at in entries), default=0)
                counted = max(counted, longest * number(data, chunks.start + 4, 4))
            if counted > _MAX_SAMPLES:
                raise too_much_work()


def _check_items(data: bytes) -> None:
    """Raise `Unrenderable` when there are very many items: readers take minutes to look up all of them."""
    steps = Steps()
    for meta in _metas(data, 0, len(data), steps):
        for box in boxes(data, meta.start + 4, meta.end, steps):
            if _entries_of(data, box, steps) > _MAX_ITEMS:
                raise too_much_work()


def _metas(data: bytes, at: int, end: int, steps: Steps) -> Iterator[Box]:
    for box in boxes(data, at, end, steps):
        if box.kind == b"meta":
            yield box
        elif box.kind in _HOLDERS:
            yield from _metas(data, box.start, box.end, steps)


def _entries_of(data: bytes, box: Box, steps: Steps) -> int:
    """Return the number of entries for items in a *box* of a meta box."""
    version = number(data, box.start, 1)
    wide = 4 if version else 2
    if box.kind == b"iinf":
        return number(data, box.start + 4, wide)
    if box.kind == b"iloc":
        return number(data, box.start + 6, 4 if version == 2 else 2)
    if box.kind == b"iprp":
        return sum(number(data, each.start + 4, 4) for each in boxes(data, box.start, box.end, steps)
                   if each.kind == b"ipma")  # fmt: skip
    if box.kind == b"iref":
        return sum(1 + number(data, each.start + wide, 2) for each in boxes(data, box.start + 4, box.end, steps))
    return 0


def _items(data: bytes, meta: Box, codec: bytes, steps: Steps) -> Iterator[Stream]:
    coded: set[int] = set()
    for box in boxes(data, meta.start + 4, meta.end, steps):
        if box.kind == b"iinf":
            first = box.start + (6 if data[box.start] == 0 else 8) if box.start < box.end else box.end
            coded.update(_of_codec(data, Box(b"iinf", first, box.end), codec, steps))
    times = Counter(extents for item, extents in located(data, meta, steps) if item in coded)
    left = len(data)
    for extents, count in times.items():
        piece = joined(data, extents)
        left -= len(piece)
        if left < 0:
            raise corrupt()
        yield Stream(iter((piece,)), count)


def _of_codec(data: bytes, entries: Box, codec: bytes, steps: Steps) -> Iterator[int]:
    for box in boxes(data, entries.start, entries.end, steps):
        wide = 4 if data[box.start : box.start + 1] == b"\3" else 2
        kind = box.start + 4 + wide + 2
        if data[kind : kind + 4] == codec:
            yield number(data, box.start + 4, wide)


def located(data: Bytes, meta: Box, steps: Steps) -> Iterator[tuple[int, Extents]]:
    """Yield the number and the extents of every item of *meta* (section 8.11.3)."""
    places = list(boxes(data, meta.start + 4, meta.end, steps))
    store = next((box.start for box in places if box.kind == b"idat"), len(data))
    for place in places:
        if place.kind == b"iloc":
            yield from _entries(data, place, store, steps)


def joined(data: Bytes, extents: Extents) -> bytes:
    """Return the bytes of an item. Raise `Unrenderable` when they are longer than the file."""
    if sum(end - start for start, end in extents) > len(data):
        raise corrupt()
    return b"".join(data[start:end] for start, end in extents)


def _entries(data: Bytes, iloc: Box, store: int, steps: Steps) -> Iterator[tuple[int, Extents]]:
    version, sizes = number(data, iloc.start, 1), number(data, iloc.start + 4, 2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    at = iloc.start + 6 + wide
    for _ in range(number(data, iloc.start + 6, wide)):
        if at >= iloc.end:
            return
        steps.take()
        item, at = number(data, at, wide), at + wide
        within = 0
        if version:
            within, at = number(data, at, 2) & 15, at + 2
        base, at = number(data, at + 2, base_size), at + 2 + base_size
        count, at = number(data, at, 2), at + 2
        steps.take(count)
        extents = []
        for _ in range(count):
            at += index_size if version else 0
            start = base + number(data, at, offset_size) + (store if within == 1 else 0)
            length = number(data, at + offset_size, length_size)
            at += offset_size + length_size
            start = min(start, len(data))
            extents.append((start, min(start + length, len(data)) if length else len(data)))
        yield item, tuple(extents)


def _tables(data: bytes, box: Box, steps: Steps) -> Iterator[dict[bytes, Box]]:
    """Yield the sample table of each track in *box*."""
    inner = list(boxes(data, box.start, box.end, steps))
    if box.kind == b"stbl":
        table = {each.kind: each for each in inner}
        if len(table) < len(inner) or {b"stco", b"co64"} <= table.keys():
            raise corrupt()  # readers differ in which of the two they use
        yield table
        return
    for each in inner:
        if each.kind in _HOLDERS:
            yield from _tables(data, each, steps)


def samples(data: Bytes, table: dict[bytes, Box], codec: bytes, most: int, steps: Steps) -> Iterator[bytes]:
    """Yield the first *most* samples of a track with that *codec* (sections 8.7.3 to 8.7.5)."""
    described, sizes, runs = (table.get(kind) for kind in (b"stsd", b"stsz", b"stsc"))
    chunks = table.get(b"stco") or table.get(b"co64")
    if described is None or sizes is None or runs is None or chunks is None:
        return
    if codec not in data[described.start : described.end]:
        return
    wide = 4 if chunks.kind == b"stco" else 8
    same, count = number(data, sizes.start + 4, 4), min(most, number(data, sizes.start + 8, 4))
    starts = {}
    for run in range(number(data, runs.start + 4, 4)):
        steps.take()
        at = runs.start + 8 + 12 * run
        if at >= runs.end:
            break
        starts[number(data, at, 4)] = number(data, at + 4, 4)
    sample = per_chunk = 0
    for chunk in range(number(data, chunks.start + 4, 4)):
        steps.take()
        per_chunk = starts.get(chunk + 1, per_chunk)
        start = number(data, chunks.start + 8 + wide * chunk, wide)
        for _ in range(per_chunk):
            if sample >= count:
                return
            steps.take()
            length = same or number(data, sizes.start + 12 + 4 * sample, 4)
            yield data[start : start + length]
            start, sample = start + length, sample + 1
