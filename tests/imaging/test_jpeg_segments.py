"""Segments of JPEGs from cameras, scanners and editors. Malformed application segments are passed over."""

from __future__ import annotations

import struct

import pytest
from PIL import Image, ImageChops, ImageCms

from service.errors import Unrenderable
from service.formats import Format
from service.imaging.admission import admit
from service.imaging.containers.jpeg import JpegHeader
from service.imaging.containers.peek import peek
from service.imaging.containers.window import Window
from service.imaging.order import Encoding, Limits
from service.imaging.reading.jpeg import JpegFile
from service.imaging.source import Source
from service.imaging.stripping import stripped
from tests.pixels import rendered, shown
from tools.pictures.drawing import quarters, saved

PLAIN = saved(quarters(60, 40), "JPEG", quality=95)
BARE = PLAIN[:2] + PLAIN[20:]
"""The JPEG without the JFIF segment that Pillow writes."""
NAMES = {
    0xE0: [b"JFIF\0", b"JFXX\0"],
    0xE1: [b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"],
    0xE2: [b"ICC_PROFILE\0", b"MPF\0", b"FPXR\0"],
    0xED: [b"Photoshop 3.0\0", b"Photoshop 3.0\x008BIM", b"Adobe_CM\0"],
    0xEE: [b"Adobe"],
}


def segment(marker: int, body: bytes = b"") -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def pixels(data: bytes, width: int | None = None) -> Image.Image:
    return shown(rendered(data, "PNG", width).data)


def same(data: bytes, other: bytes) -> bool:
    return ImageChops.difference(pixels(data), pixels(other)).getbbox() is None


@pytest.mark.parametrize("start", [PLAIN[:2], PLAIN[:20]], ids=["first", "after JFIF"])
@pytest.mark.parametrize("marker", [*range(0xE0, 0xF0), 0xFE])
def test_short_application_segments_are_passed_over(marker: int, start: bytes) -> None:
    for length in range(7):
        for filler in (b"\0", b"\xff", b"J"):
            assert same(start + segment(marker, filler * length) + PLAIN[len(start) :], PLAIN)


@pytest.mark.parametrize("name", [name for names in NAMES.values() for name in names])
def test_segment_with_little_more_than_its_name_is_passed_over(name: bytes) -> None:
    marker = next(marker for marker, names in NAMES.items() if name in names)
    for body in [name[:end] for end in range(2, len(name))] + [name + bytes(count) for count in range(6)]:
        for begin in (PLAIN[:2], PLAIN[:2] + segment(0xE0, b"JFIF\0")):
            assert same(begin + segment(marker, body) * 2 + BARE[2:], BARE)


@pytest.mark.parametrize(
    "body",
    [
        b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10\0\x48",  # the resolution is truncated
        b"Photoshop 3.0\x008BIM\x04\x04\xff",
        b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff\x1c\x02",
    ],
)
def test_truncated_resources_of_photoshop_are_passed_over(body: bytes) -> None:
    assert same(PLAIN[:20] + segment(0xED, body) + PLAIN[20:], PLAIN)


@pytest.mark.parametrize("transform", [*range(4), 255])
def test_complete_segment_of_adobe_gives_the_colour_transform(transform: int) -> None:
    """A segment of 11 bytes is passed over. One of 12 bytes declares RGB (0) or YCbCr in a picture without JFIF."""
    adobe = b"Adobe\0\x64\0\0\0\0"
    assert same(BARE[:2] + segment(0xEE, adobe) + BARE[2:], PLAIN)
    whole = BARE[:2] + segment(0xEE, adobe + bytes((transform,))) + BARE[2:]
    assert same(whole, PLAIN) == (transform != 0)


def test_inks_keep_their_colours_without_the_segment_of_adobe() -> None:
    data = saved(quarters(60, 40, "CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    short = data[:at] + segment(0xEE, b"Adobe\0") + data[at + 16 :]
    assert data[at + 16 : at + 17] == b"\xff"
    assert same(short, data)


@pytest.mark.parametrize(
    "offsets",
    [b"", b"MM", b"MM\0*\0\0\0\x08", b"MM\0*\0\0\0\x08\0\3\xb0\0\0\7\0\0\0\x04", b"II*\0\xff\xff\xff\xff" + bytes(40)],
)
def test_malformed_index_of_pictures_is_passed_over(offsets: bytes) -> None:
    mpo = PLAIN[:20] + segment(0xE2, b"MPF\0" + offsets) + PLAIN[20:]
    assert same(mpo + PLAIN, PLAIN)


def turned_exif() -> bytes:
    turned = Image.Exif()
    turned[0x0112] = 6
    return turned.tobytes()


@pytest.mark.parametrize(
    "before", [b"", segment(0xE1, b"Exif\0\0"), segment(0xE1, b"Exif\0\0II"), segment(0xE1, b"Exif\0"), segment(0xE1)]
)
def test_exif_is_found_after_segments_without_it(before: bytes) -> None:
    data = PLAIN[:20] + before + segment(0xE1, turned_exif()) + PLAIN[20:]
    assert pixels(data).size == (40, 60)


def test_exif_continues_in_the_next_segment() -> None:
    block = turned_exif()
    parts = segment(0xE1, block[:20]) + segment(0xE1, b"Exif\0\0" + block[20:])
    assert pixels(PLAIN[:20] + parts + PLAIN[20:]).size == (40, 60)


def test_exif_of_more_than_4_mib_is_passed_over() -> None:
    much = segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 70
    assert pixels(PLAIN[:20] + segment(0xE1, turned_exif()) + much + PLAIN[20:]).size == (40, 60)


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def numbered(*parts: tuple[int, int, bytes]) -> bytes:
    return b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes(part[:2]) + part[2]) for part in parts)


SRGB = profile()
HALF, REST = SRGB[:300], SRGB[300:]


@pytest.mark.parametrize(
    "parts",
    [
        numbered((1, 1, SRGB)),
        numbered((1, 2, HALF), (2, 2, REST)),
        numbered((2, 2, REST), (1, 2, HALF)),
        segment(0xE2, b"ICC_PROFILE\0") + numbered((1, 1, SRGB)) + segment(0xE2, b"ICC_PROFILE\0\1"),
    ],
    ids=["one", "two", "in another order", "with parts without numbers"],
)
@pytest.mark.parametrize("late", [False, True])
def test_profile_is_joined_from_its_parts(parts: bytes, late: bool) -> None:
    at = PLAIN.index(b"\xff\xc4") if late else 20  # after the frame header, where Pillow expects none
    data = PLAIN[:at] + parts + PLAIN[at:]
    assert JpegHeader.of(data).profile == SRGB
    assert same(data, PLAIN)


@pytest.mark.parametrize(
    "parts",
    [
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"ICC_PROFILE\0\1"),
        numbered((1, 2, HALF)),
        numbered((2, 2, REST)),
        numbered((1, 2, HALF), (1, 2, REST)),
        numbered((1, 2, HALF), (2, 2, REST), (2, 2, REST)),
        numbered((1, 1, SRGB), (1, 1, SRGB)),
        numbered((1, 2, HALF), (2, 3, REST)),
        numbered((0, 2, HALF), (1, 2, REST)),
        numbered((1, 0, SRGB)),
        numbered((200, 255, SRGB)),
    ],
)
def test_profile_with_missing_or_wrong_parts_is_not_used(parts: bytes) -> None:
    data = PLAIN[:20] + parts + PLAIN[20:]
    assert JpegHeader.of(data).profile is None
    assert same(data, PLAIN)


@pytest.mark.parametrize("marker", [0xE0, 0xE1, 0xE7, 0xEE, 0xFE, 0xDB, 0xC4])
def test_segment_that_ends_after_the_file_is_corrupt(marker: int) -> None:
    for data in (PLAIN[:20] + bytes((0xFF, marker, 0xFF, 0xFF)) + PLAIN[20:], PLAIN[:20] + bytes((0xFF, marker))):
        with pytest.raises(Unrenderable, match="corrupt"):
            rendered(data, "PNG", 20)


@pytest.mark.parametrize("length", [0, 1])
def test_segment_with_a_wrong_length_is_passed_over(length: int) -> None:
    for marker in (0xE0, 0xE5, 0xEE, 0xFE):
        assert same(PLAIN[:20] + bytes((0xFF, marker, 0, length)) + PLAIN[20:], PLAIN)


def test_two_frames_or_a_scan_without_one_are_corrupt() -> None:
    at, scan = PLAIN.index(b"\xff\xc0"), PLAIN.index(b"\xff\xda")
    frame = PLAIN[at : at + 19]
    for data in (PLAIN[:at] + frame + PLAIN[at:], PLAIN[:at] + PLAIN[at + 19 :], PLAIN[:scan] + PLAIN[-2:], PLAIN[:20]):
        with pytest.raises(Unrenderable, match="corrupt"):
            rendered(data, "PNG", 20)


def test_stripped_upload_has_no_such_segments() -> None:
    adobe = segment(0xEE, b"Adobe\0")
    odd = PLAIN[:2] + segment(0xE0, b"JFIF\0") + adobe + numbered((1, 1, SRGB)) + segment(0xE2, b"ICC_PROFILE\0")
    data = odd + segment(0xFE) + PLAIN[2:]
    assert admit(data, Limits()) is None
    clean = stripped(data, Format.JPEG, Limits(), Encoding())
    assert clean == PLAIN[:2] + numbered((1, 1, SRGB)) + PLAIN[2:]
    assert admit(data, Limits(), Encoding()) == clean


def exif(turn: int, start: bytes = b"Exif\0\0") -> bytes:
    return segment(0xE1, start + struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 274, 3, 1, turn, 0, 0))


@pytest.mark.parametrize(
    "before",
    [segment(0xE1, b"Exif\0\0"), segment(0xE1, b"Exif\0\0junk"), segment(0xE1, b"Exif\0\0" + bytes(300)),
     exif(6, b"EXIF\0\0"), segment(0xE5) * 9_000, b"\xff" * 5_000, b"junk\xff\0junk" * 600],
)  # fmt: skip
@pytest.mark.parametrize("turn", [1, 6])
def test_segments_before_exif_do_not_change_the_size(before: bytes, turn: int) -> None:
    data = BARE[:2] + segment(0xEF) + before + exif(turn) + BARE[2:]
    size = peek(data).size
    assert size == Source(data, Limits()).size == pixels(data).size == ((60, 40) if turn == 1 else (40, 60))
    assert peek(Window(data[:100], len(data), lambda at, much: data[at : at + much])).size == size


def test_window_is_not_read_for_a_profile() -> None:
    read = []

    def reading(at: int, much: int) -> bytes:
        read.append(much)
        return data[at : at + much]

    parts = [segment(0xE2, b"ICC_PROFILE\0" + bytes((number, 60)) + bytes(60_000)) for number in range(1, 61)]
    data = BARE[:2] + b"".join(parts) + BARE[2:]
    assert peek(Window(data[:100], len(data), reading)).size == (60, 40)
    assert sum(read) < 500_000


def test_libjpeg_gets_fill_bytes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read all of them again with each part of the file: 20 MB took six seconds."""
    reads = []
    load_read = JpegFile.load_read

    def counted(self: JpegFile, read_bytes: int) -> bytes:
        reads.append(read_bytes)
        return load_read(self, read_bytes)

    monkeypatch.setattr(JpegFile, "load_read", counted)
    for end in (b"", b"\xff\xd9"):
        reads.clear()
        assert same(PLAIN[:-2] + b"\xff" * 1_000_000 + end, PLAIN)
        assert len(reads) <= 2 * 2  # two pictures, each with an end marker
