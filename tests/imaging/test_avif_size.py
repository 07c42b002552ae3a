"""The upright size of an AVIF from its boxes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import AvifImagePlugin, Image

from service.formats import Format
from service.imaging.containers.isobmff.picture import upright_size
from service.imaging.containers.peek import peek
from service.imaging.containers.window import HEAD_BYTES, Window
from service.imaging.order import Limits
from service.imaging.source import Source
from tools.pictures.drawing import large, quarters, saved
from tools.pictures.isobmff import (
    box,
    cropped,
    full_box,
    irot,
    ispe,
    still,
)

SIZE = (80, 64)
BROKEN = still(Image.new("RGB", SIZE), cropped(SIZE, (16, 8, 56, 40)), irot(1))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_animated_avif_has_the_size_of_its_track(mode):
    frames = [Image.new(mode, (70, 50), 90), Image.new(mode, (70, 50), 20)]
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    assert peek(data).size == (70, 50) == Source(data, Limits()).size


@pytest.mark.parametrize(
    ("major", "size"), [(b"avif", (50, 70)), (b"avis", (70, 50)), (b"mif1", (70, 50)), (b"msf1", (70, 50))]
)
def test_major_brand_decides_between_animation_and_still(major, size):
    frames = [Image.new("RGB", (70, 50), 90), Image.new("RGB", (70, 50), 20)]
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:]).replace(ispe(70, 50), ispe(50, 70))
    data = data[:8] + major + data[12:]
    assert peek(data).format is Format.AVIF
    assert peek(data).size == size == shown(data)


def shown(data: bytes) -> tuple[int, int]:
    """Return the size that libavif finds."""
    return AvifImagePlugin.AvifImageFile(io.BytesIO(data)).size


@pytest.mark.parametrize("padding", [100, 70_000])
def test_boxes_after_the_first_64_kib_are_read(padding):
    data = still(large(600, 600), padding=padding, quality=90)
    assert len(data) > HEAD_BYTES + 30_000
    reads = []

    def read(begin, size):
        reads.append(size)
        return data[begin : begin + size]

    assert peek(Window(data[:HEAD_BYTES], len(data), read)).size == peek(data).size == (600, 600)
    assert bool(reads) == (padding > HEAD_BYTES) and sum(reads) <= 4096


def test_avif_without_a_size_box_has_no_size():
    data = still(quarters(*SIZE))
    assert upright_size(data.replace(b"ispe", b"xxxx")) is None
    assert upright_size(data.replace(ispe(*SIZE), ispe(0, 64))) is None
    assert upright_size(data.replace(b"pitm", b"xxxx")) is None
    assert upright_size(b"") is None


@given(st.lists(st.tuples(st.integers(0, 420), st.integers(0, 255)), max_size=4))
def test_broken_boxes_have_a_size_or_none(changes):
    data = bytearray(BROKEN)
    for at, value in changes:
        data[at % len(data)] = value
    size = upright_size(bytes(data))
    assert size is None or min(size) > 0


@given(st.binary(max_size=300))
def test_any_boxes_have_a_size_or_none(tail):
    for head in (full_box(b"meta", tail), box(b"moov", tail), tail):
        for brand in (b"avif", b"avis"):
            size = upright_size(box(b"ftyp", brand, bytes(4)) + head)
            assert size is None or min(size) > 0
