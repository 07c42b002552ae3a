"""Grids of AV1 tiles, which may share their bytes."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from service.errors import Unrenderable
from service.imaging.containers.isobmff.items import streams
from service.imaging.containers.peek import peek
from tests.pixels import near, rendered, shown
from tools.pictures.drawing import GREEN, RED, YELLOW, quarters
from tools.pictures.isobmff import (
    box,
    cropped,
    full_box,
    grid,
    irot,
    size_at,
)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("columns", "rows"), [(2, 2), (5, 1), (8, 8)])
def test_tile_that_is_stored_once_fills_every_cell(columns, rows, shared):
    data = grid(quarters(64, 64), columns, rows, shared=shared)
    made = shown(rendered(data).data)
    assert made.size == (64 * columns, 64 * rows) == peek(data).size
    for column in range(columns):
        for row in range(rows):
            cell = made.crop((64 * column, 64 * row, 64 * column + 64, 64 * row + 64))
            assert near(cell.getpixel((9, 9)), RED) and near(cell.getpixel((54, 54)), YELLOW)


def test_shared_tiles_count_as_often_as_they_are_decoded():
    tile = quarters(1024, 1024)
    assert rendered(grid(tile, 4, 4, shared=True), "PNG", 16).width == 16
    small = grid(tile, 20, 20, shared=True, size=(1100, 1100))  # 400 tiles for a picture that needs four
    with pytest.raises(Unrenderable, match="more work"):
        rendered(small, "PNG", 16)


def test_overlapping_tiles_are_counted_separately():
    data = bytearray(grid(quarters(64, 64), 4, 4, shared=True))
    entries = data.index(b"iloc") + 12
    for tile in range(2, 17):
        at = entries + 16 * tile + 8
        data[at : at + 4] = (size_at(data, at) - tile).to_bytes(4, "big")
    with pytest.raises(Unrenderable):
        rendered(bytes(data))


def test_aperture_and_colours_of_a_grid_are_applied():
    data = grid(quarters(64, 64), 2, 2, cropped((128, 128), (64, 0, 128, 64)), irot(1), shared=True)
    made = shown(rendered(data).data)
    assert made.size == (64, 64) == peek(data).size
    assert near(made.getpixel((9, 9)), GREEN) and near(made.getpixel((9, 54)), RED)


def test_extents_that_repeat_the_file_are_refused_before_they_are_joined():
    """9,000 extents of a megabyte are nine gigabytes."""
    extents = struct.pack(">2I", 0, 1 << 20) * 9000
    iloc = full_box(b"iloc", b"\x44\0\0\1", struct.pack(">3H", 1, 0, 9000), extents)
    infe = full_box(b"infe", struct.pack(">2H", 1, 0), b"av01\0", version=2)
    meta = full_box(b"meta", full_box(b"iinf", b"\0\1", infe), iloc)
    data = box(b"ftyp", b"avif", bytes(4)) + meta + bytes(1 << 20)
    tracemalloc.start()
    with pytest.raises(Unrenderable):
        list(streams(data, b"av01", 1))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def assert_refused(meta: bytes, *, in_track: bool) -> None:
    holder = box(b"moov", box(b"trak", meta)) if in_track else meta
    with pytest.raises(Unrenderable, match="more work"):
        rendered(box(b"ftyp", b"avif", bytes(4), b"avif") + holder)


LISTS = {
    "iinf": full_box(b"iinf", struct.pack(">H", 60_000), bytes(60_000)),
    "iinf of 32 bits": full_box(b"iinf", struct.pack(">I", 1_000_000), bytes(60_000), version=1),
    "iloc": full_box(b"iloc", b"\x44\0", struct.pack(">H", 60_000), bytes(60_000)),
    "iloc of 32 bits": full_box(b"iloc", b"\x44\0", struct.pack(">I", 60_000), bytes(60_000), version=2),
    "ipma": box(b"iprp", full_box(b"ipma", struct.pack(">I", 60_000), bytes(60_000))),
    "two ipma": box(b"iprp", full_box(b"ipma", struct.pack(">I", 3_000)) + full_box(b"ipma", struct.pack(">I", 3_000))),
    "iref": full_box(b"iref", box(b"dimg", struct.pack(">2H", 1, 60_000), bytes(60_000))),
    "iref of 32 bits": full_box(b"iref", box(b"dimg", struct.pack(">IH", 1, 60_000), bytes(60_000)), version=1),
    "iref of many boxes": full_box(b"iref", *[box(b"auxl", struct.pack(">3H", 1, 1, 2))] * 3_000),
}


@pytest.mark.parametrize("in_track", [False, True])
@pytest.mark.parametrize("name", LISTS)
def test_many_items_are_refused_before_decoding(name: str, in_track: bool) -> None:
    """libavif takes three minutes for 60,000 items."""
    assert_refused(full_box(b"meta", LISTS[name]), in_track=in_track)


def test_tiles_of_a_large_picture_are_read():
    data = grid(quarters(64, 64), 30, 30, shared=True)
    assert shown(rendered(data, "PNG", 90).data).size == (90, 90)
