"""Sizes and numbers of frames in the headers of AV1 streams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.errors import Unrenderable
from service.imaging.containers.av1 import Extent, extent
from service.imaging.containers.isobmff.items import streams
from tools.pictures.drawing import saved


def extents(data: bytes) -> list[Extent]:
    return [extent(stream.pieces) for stream in streams(data, b"av01", 201)]


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4", "4:0:0"])
def test_colour_and_alpha_of_a_still_are_two_streams(subsampling: str) -> None:
    whole = Extent(70 * 50, 70 * 50)
    assert extents(saved(Image.new("RGB", (70, 50)), "AVIF", subsampling=subsampling)) == [whole]
    clear = Image.new("RGBA", (70, 50), (1, 2, 3, 4))
    assert extents(saved(clear, "AVIF", subsampling=subsampling)) == [whole, whole]


def test_animation_is_an_item_and_tracks_with_hidden_frames() -> None:
    frames = [Image.effect_noise((70, 50), each) for each in (10, 20, 30, 40)]
    found = extents(saved(frames[0], "AVIF", save_all=True, append_images=frames[1:]))
    assert {each.largest for each in found} == {3500}
    assert {each.at_once // 3500 for each in found} <= {1, 2}


@given(st.binary(max_size=200))
def test_any_bytes_have_an_extent_or_are_refused(data: bytes) -> None:
    try:
        found = extent([data])
    except Unrenderable:
        return
    assert 0 <= found.largest <= 2**32 * 4


def test_sequence_header_with_32_operating_points_is_read() -> None:
    """32 operating points put the size of the frames after the first 60 bytes."""
    points = "".join("0" * 12 + "00000" for _ in range(32))  # of level 0, which has no tier
    bits = "000" + "0" + "0" + "0" + "0" + "11111" + points + "1111" * 2 + f"{7999:016b}" * 2
    body = int(bits.ljust(8 * 100, "0"), 2).to_bytes(100, "big")
    assert extent([bytes((1 << 3 | 2, 100)) + body]).largest == 64_000_000
    with pytest.raises(Unrenderable):
        extent([bytes((1 << 3 | 2, 60)) + body[:60]])


AVIF = saved(Image.effect_noise((70, 50), 40), "AVIF", save_all=True, append_images=[Image.new("L", (70, 50))])


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=6))
def test_walk_of_broken_boxes_ends(changes: list[tuple[int, int]]) -> None:
    data = bytearray(AVIF)
    for at, value in changes:
        data[at % len(data)] = value
    try:
        assert len(extents(bytes(data))) < 20_000
    except Unrenderable:
        pass
