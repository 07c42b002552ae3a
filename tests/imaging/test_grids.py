"""Grids of AV1 tiles, whose bytes may be shared."""

from __future__ import annotations

import pytest

from service.errors import Unrenderable
from service.imaging.headers.peek import peek
from tests.imaging.isobmff_in_code import (
    cropped,
    grid,
    irot,
    size_at,
)
from tests.pictures_in_code import GREEN, RED, YELLOW, near, quarters, rendered, shown


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("columns", "rows"), [(2, 2), (5, 1), (8, 8)])
def test_a_tile_that_is_stored_once_serves_every_cell(columns, rows, shared):
    data = grid(quarters(64, 64), columns, rows, shared=shared)
    made = shown(rendered(data).data)
    assert made.size == (64 * columns, 64 * rows) == peek(data).size
    for column in range(columns):
        for row in range(rows):
            cell = made.crop((64 * column, 64 * row, 64 * column + 64, 64 * row + 64))
            assert near(cell.getpixel((9, 9)), RED) and near(cell.getpixel((54, 54)), YELLOW)


def test_shared_tiles_are_one_stream_that_counts_as_often_as_it_is_decoded():
    tile = quarters(1024, 1024)
    assert rendered(grid(tile, 4, 4, shared=True), "PNG", 16).width == 16
    small = grid(tile, 20, 20, shared=True, size=(1100, 1100))  # 400 tiles for a picture that needs four
    with pytest.raises(Unrenderable, match="more work"):
        rendered(small, "PNG", 16)


def test_tiles_that_overlap_and_are_not_the_same_count_each():
    data = bytearray(grid(quarters(64, 64), 4, 4, shared=True))
    entries = data.index(b"iloc") + 12
    for tile in range(2, 17):
        at = entries + 16 * tile + 8
        data[at : at + 4] = (size_at(data, at) - tile).to_bytes(4, "big")
    with pytest.raises(Unrenderable):
        rendered(bytes(data))


def test_a_grid_has_an_aperture_and_colours_too():
    data = grid(quarters(64, 64), 2, 2, cropped((128, 128), (64, 0, 128, 64)), irot(1), shared=True)
    made = shown(rendered(data).data)
    assert made.size == (64, 64) == peek(data).size
    assert near(made.getpixel((9, 9)), GREEN) and near(made.getpixel((9, 54)), RED)
