"""JPEGs whose end is missing: whole without the end marker and at most the last row of blocks, else cut short."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from PIL import Image, ImageChops

from service.errors import Unrenderable
from service.imaging.admission import admit
from service.imaging.containers.jpeg import SOS, segments
from service.imaging.order import Encoding, Limits
from tests.pictures_in_code import large, quarters, rendered, saved, shown

LIMITS = Limits()
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline": ("RGB", {}),
    "without subsampling": ("RGB", {"subsampling": 0}),
    "of its own tables": ("RGB", {"optimize": True}),
    "grey": ("L", {}),
    "inks": ("CMYK", {}),
    "progressive": ("RGB", {"progressive": True}),
    "progressive grey": ("L", {"progressive": True}),
    "progressive inks": ("CMYK", {"progressive": True}),
    "a restart each row": ("RGB", {"restart_marker_rows": 1}),
    "a restart each block": ("RGB", {"restart_marker_blocks": 1}),
    "progressive with restarts": ("RGB", {"progressive": True, "restart_marker_blocks": 2}),
}
SIDES = (150, 104)
"""Seven rows of 16 pixels, or thirteen of 8."""


def picture(kind: str) -> bytes:
    mode, options = KINDS[kind]
    image = large(*SIDES)
    bands = [*image.split(), image.convert("L")]  # grain in the black as well
    pixels = Image.merge("CMYK", bands) if mode == "CMYK" else image.convert(mode)
    return saved(pixels, "JPEG", quality=90, **options)


def last_scan(data: bytes) -> int:
    """Where the data of the last scan begins."""
    return max(segment.end for segment in segments(data) if segment.marker == SOS)


def is_whole(data: bytes) -> bool:
    try:
        rendered(data, "PNG", 30)
    except Unrenderable as error:
        assert str(error) == "The picture is corrupt."
        return False
    return True


def admitted(data: bytes) -> bool:
    try:
        return admit(data, LIMITS) is None
    except Unrenderable:
        return False


@pytest.mark.parametrize("width", [None, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_lacks_its_end_marker_is_whole(kind: str, width: int | None) -> None:
    data = picture(kind)
    whole = rendered(data, "PNG", width).data
    for end in (data[:-2], data[:-1], data[:-2] + b"\xff\xff\xff", data[:-2] + bytes(100), data[:-2] + bytes(70_000)):
        assert rendered(end, "PNG", width).data == whole
    assert admit(data[:-2], LIMITS) is None
    assert rendered(data + b"trailer \xff\xd8\xff\xd9", "PNG", width).data == whole


@pytest.mark.parametrize("shade", ["red", "white", "black", (128, 128, 128)])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("side", [1, 8, 16, 17, 100, 1000])
def test_so_is_one_in_which_a_row_takes_next_to_no_bytes(side: int, options: dict[str, Any], shade: Any) -> None:
    data = saved(Image.new("RGB", (side, side), shade), "JPEG", **options)
    assert rendered(data[:-2], "PNG").data == rendered(data, "PNG").data


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_row_of_blocks_may_be_wanting(kind: str) -> None:
    """One cut counts as whole from some byte on, and what stands above that row is as it was."""
    data = picture(kind)
    begin = last_scan(data)
    ends = [*range(begin, len(data) - 1, max(1, (len(data) - begin) // 60))]
    verdicts = [is_whole(data[:end]) for end in ends]
    assert not verdicts[0]
    assert verdicts[-1]
    first = verdicts.index(True)
    assert all(verdicts[first + 1 :])
    share = (ends[first] - begin) / (len(data) - begin)
    assert 0.75 < share < 0.98  # six rows of seven, or twelve of thirteen
    full = shown(rendered(data, "PNG").data)
    above = (0, 0, SIDES[0], 103 // (16 if full.mode == "RGB" and "without" not in kind else 8) * 8)
    for end in ends[first + 1 :: 3]:
        assert admitted(data[:end])
        cut = shown(rendered(data[:end], "PNG").data)
        assert ImageChops.difference(cut.crop(above), full.crop(above)).getbbox() is None


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_cut_short_before_is_refused_here_and_as_an_upload(kind: str) -> None:
    data = picture(kind)
    begin = next(segment.end for segment in segments(data) if segment.marker == SOS)
    for end in range(20, len(data) * 3 // 4, len(data) // 40):
        assert not is_whole(data[:end])
        assert not admitted(data[:end])
    for end in (begin, begin + 1, begin + 10):
        assert not is_whole(data[:end] + bytes(50_000))  # room that was set aside for the rest, and never filled
        assert not is_whole(data[:end] + b"\xff" * 1_000)


@pytest.mark.parametrize("kind", ["progressive", "progressive grey", "progressive inks"])
def test_a_scan_that_is_missing_is_no_row(kind: str) -> None:
    data = picture(kind)
    for segment in segments(data):
        if segment.marker == SOS:
            assert not is_whole(data[: segment.begin])
            assert not is_whole(data[: segment.begin + 5])


@pytest.mark.parametrize("kind", ["a restart each row", "a restart each block"])
def test_a_cut_before_a_restart_marker_is_a_cut(kind: str) -> None:
    data = picture(kind)
    at = last_scan(data)
    marks = [at for at in range(at, len(data) - 2) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]
    rows = 10 if kind == "a restart each block" else 1  # markers for each row
    assert len(marks) == 7 * rows - 1
    for number, mark in enumerate(marks):
        assert is_whole(data[:mark]) == (number >= 6 * rows - 1)
        assert is_whole(data[: mark + 2]) == (number >= 6 * rows - 1)


@pytest.mark.parametrize("height", [5, 8, 16])
def test_of_a_single_row_nothing_may_be_wanting(height: int) -> None:
    data = saved(large(200, height), "JPEG", quality=90)
    begin = last_scan(data)
    assert is_whole(data[:-2])
    assert not any(is_whole(data[:end]) for end in range(begin, begin + (len(data) - begin) * 9 // 10, 10))


def test_scans_of_one_component_each_must_all_be_there() -> None:
    """Baseline, each component in a scan of its own: the usual tables' codes for no difference, and the block's end."""
    plain = saved(Image.new("RGB", (56, 56), (128, 128, 128)), "JPEG", subsampling=0)
    head = plain[: plain.index(b"\xff\xda")]
    blocks = 49
    grey = int("001010" * blocks + "11", 2).to_bytes(37, "big")
    colour = int("0000" * blocks + "1111", 2).to_bytes(25, "big")
    scans = [
        b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, number, 0x11 if number > 1 else 0, 0, 63, 0) + coded
        for number, coded in ((1, grey), (2, colour), (3, colour))
    ]
    whole = rendered(head + b"".join(scans) + b"\xff\xd9", "PNG").data
    assert shown(whole).getextrema() == ((128, 128),) * 3
    assert rendered(head + b"".join(scans), "PNG").data == whole
    assert not is_whole(head + b"".join(scans[:2]))
    assert not is_whole(head + b"".join(scans[:2]) + scans[2][:10])


def test_it_is_stored_with_an_end_where_it_is_stored_without_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data = saved(large(200, 150), "JPEG", exif=exif)
    clean = admit(data[:-2], LIMITS, Encoding())
    assert clean is not None
    assert clean.endswith(b"\xff\xd9")
    assert rendered(clean, "PNG").data == rendered(data, "PNG").data
    half = admit(data[:-150], LIMITS, Encoding())
    assert half is not None
    assert rendered(half, "PNG").data == rendered(data[:-150], "PNG").data


def test_a_large_one_is_told_apart_as_well() -> None:
    """More than Pillow reads at a time, and shrunk on load."""
    data = saved(large(1600, 1200), "JPEG", quality=85)
    assert len(data) > 3 * 65_536
    assert rendered(data[:-2], "PNG", 100).data == rendered(data, "PNG", 100).data
    assert not is_whole(data[: len(data) * 95 // 100])
    assert is_whole(data[: len(data) - len(data) // 200])


def test_quarters_of_plain_colours_too() -> None:
    data = saved(quarters(60, 40), "JPEG")
    assert is_whole(data[:-2])
    assert not is_whole(data[: last_scan(data) + 200])
