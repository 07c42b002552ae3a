"""JPEGs whose end is missing. Without the end marker and the last row of blocks they are rendered, else refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from PIL import Image, ImageChops

from service.errors import Unrenderable
from service.imaging.admission import admit
from service.imaging.containers.jpeg import SOS, segments
from service.imaging.order import Encoding, Limits
from tests.pixels import rendered, shown
from tools.pictures.drawing import large, quarters, saved

LIMITS = Limits()
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline": ("RGB", {}),
    "without subsampling": ("RGB", {"subsampling": 0}),
    "with optimized tables": ("RGB", {"optimize": True}),
    "grey": ("L", {}),
    "inks": ("CMYK", {}),
    "progressive": ("RGB", {"progressive": True}),
    "progressive grey": ("L", {"progressive": True}),
    "progressive inks": ("CMYK", {"progressive": True}),
    "a restart marker each row": ("RGB", {"restart_marker_rows": 1}),
    "a restart marker each block": ("RGB", {"restart_marker_blocks": 1}),
    "progressive with restart markers": ("RGB", {"progressive": True, "restart_marker_blocks": 2}),
}
SIDES = (150, 104)
"""Pixels: 7 rows of blocks of 16 pixels, or 13 of 8."""


def picture(kind: str) -> bytes:
    mode, options = KINDS[kind]
    image = large(*SIDES)
    bands = [*image.split(), image.convert("L")]  # black has detail too
    pixels = Image.merge("CMYK", bands) if mode == "CMYK" else image.convert(mode)
    return saved(pixels, "JPEG", quality=90, **options)


def last_scan(data: bytes) -> int:
    """Return where the data of the last scan begin."""
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
def test_jpeg_without_its_end_marker_is_rendered(kind: str, width: int | None) -> None:
    data = picture(kind)
    whole = rendered(data, "PNG", width).data
    for end in (data[:-2], data[:-1], data[:-2] + b"\xff\xff\xff", data[:-2] + bytes(100), data[:-2] + bytes(70_000)):
        assert rendered(end, "PNG", width).data == whole
    assert admit(data[:-2], LIMITS) is None
    assert rendered(data + b"trailer \xff\xd8\xff\xd9", "PNG", width).data == whole


@pytest.mark.parametrize("shade", ["red", "white", "black", (128, 128, 128)])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("side", [1, 8, 16, 17, 100, 1000])
def test_jpeg_with_tiny_rows_and_no_end_marker_is_rendered(side: int, options: dict[str, Any], shade: Any) -> None:
    data = saved(Image.new("RGB", (side, side), shade), "JPEG", **options)
    assert rendered(data[:-2], "PNG").data == rendered(data, "PNG").data


@pytest.mark.parametrize("kind", KINDS)
def test_last_row_of_blocks_may_be_missing(kind: str) -> None:
    """From some byte on every cut is rendered, and the pixels above the last row are unchanged."""
    data = picture(kind)
    begin = last_scan(data)
    ends = [*range(begin, len(data) - 1, max(1, (len(data) - begin) // 60))]
    verdicts = [is_whole(data[:end]) for end in ends]
    assert not verdicts[0]
    assert verdicts[-1]
    first = verdicts.index(True)
    assert all(verdicts[first + 1 :])
    share = (ends[first] - begin) / (len(data) - begin)
    assert 0.75 < share < 0.98  # 6 rows of 7, or 12 of 13
    full = shown(rendered(data, "PNG").data)
    above = (0, 0, SIDES[0], 103 // (16 if full.mode == "RGB" and "without" not in kind else 8) * 8)
    for end in ends[first + 1 :: 3]:
        assert admitted(data[:end])
        cut = shown(rendered(data[:end], "PNG").data)
        assert ImageChops.difference(cut.crop(above), full.crop(above)).getbbox() is None


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_jpeg_is_refused_as_original_and_as_upload(kind: str) -> None:
    data = picture(kind)
    begin = next(segment.end for segment in segments(data) if segment.marker == SOS)
    for end in range(20, len(data) * 3 // 4, len(data) // 40):
        assert not is_whole(data[:end])
        assert not admitted(data[:end])
    for end in (begin, begin + 1, begin + 10):
        assert not is_whole(data[:end] + bytes(50_000))  # space that was reserved and never written
        assert not is_whole(data[:end] + b"\xff" * 1_000)


@pytest.mark.parametrize("kind", ["progressive", "progressive grey", "progressive inks"])
def test_missing_scan_is_refused(kind: str) -> None:
    data = picture(kind)
    for segment in segments(data):
        if segment.marker == SOS:
            assert not is_whole(data[: segment.begin])
            assert not is_whole(data[: segment.begin + 5])


@pytest.mark.parametrize("kind", ["a restart marker each row", "a restart marker each block"])
def test_jpeg_truncated_before_a_restart_marker_is_refused(kind: str) -> None:
    data = picture(kind)
    at = last_scan(data)
    marks = [at for at in range(at, len(data) - 2) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]
    rows = 10 if kind == "a restart marker each block" else 1  # markers in each row
    assert len(marks) == 7 * rows - 1
    for number, mark in enumerate(marks):
        assert is_whole(data[:mark]) == (number >= 6 * rows - 1)
        assert is_whole(data[: mark + 2]) == (number >= 6 * rows - 1)


@pytest.mark.parametrize("height", [5, 8, 16])
def test_single_row_of_blocks_must_be_complete(height: int) -> None:
    data = saved(large(200, height), "JPEG", quality=90)
    begin = last_scan(data)
    assert is_whole(data[:-2])
    assert not any(is_whole(data[:end]) for end in range(begin, begin + (len(data) - begin) * 9 // 10, 10))


def test_scan_of_every_component_must_be_complete() -> None:
    """A baseline JPEG has a scan for each component, with the codes for no difference and for the end of a block."""
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


def test_stripped_jpeg_gets_an_end_marker() -> None:
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


def test_large_jpeg_without_end_marker_is_rendered_and_truncated_is_refused() -> None:
    """The file is longer than one read of Pillow, and it is decoded at a smaller scale."""
    data = saved(large(1600, 1200), "JPEG", quality=85)
    assert len(data) > 3 * 65_536
    assert rendered(data[:-2], "PNG", 100).data == rendered(data, "PNG", 100).data
    assert not is_whole(data[: len(data) * 95 // 100])
    assert is_whole(data[: len(data) - len(data) // 200])


def test_plain_jpeg_without_end_marker_is_rendered_and_truncated_is_refused() -> None:
    data = saved(quarters(60, 40), "JPEG")
    assert is_whole(data[:-2])
    assert not is_whole(data[: last_scan(data) + 200])
