"""Headers that promise too much work or contradict themselves are refused before decoding."""

from __future__ import annotations

import struct
import time
import zlib

import pytest
from PIL import Image

from service.errors import Unrenderable
from service.imaging.order import Limits
from tests.imaging.forged import avif_claiming, gif, gif_frame, runs, segments, tiff_of, tiff_with, webp_canvas
from tests.pixels import rendered
from tools.pictures.drawing import quarters, saved
from tools.pictures.png import chunk, png


def ihdr(side):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))


def test_sequential_jpeg_of_many_scans_is_refused():
    data = saved(Image.new("RGB", (6000, 6000)), "JPEG", subsampling=0)
    head = data[: data.index(b"\xff\xda")]

    def scan(component, table):
        return b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, component, table, 0, 63, 0) + bytes(8)

    bomb = head + scan(1, 0) + (scan(2, 0x11) + scan(3, 0x11) + scan(1, 0)) * 900 + b"\xff\xd9"
    with pytest.raises(Unrenderable, match="passes"):
        rendered(bomb, "PNG", 20)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tiff_with(282, 5, 4_000_000, struct.pack("<II", 1, 3) * 4_000_000),
        lambda: tiff_with(330, 4, 1_000_000, bytes(4_000_000)),
        lambda: b"\xff\xd8" + b"".join(b"\xff\xe1\x01\x36Exif\0\0" + bytes(302) for _ in range(100_000)),
    ],
    ids=["rationals", "sub-directories", "Exif segments"],
)
def test_header_that_promises_too_much_work_is_refused(make):
    data = make()
    begun = time.process_time()
    with pytest.raises(Unrenderable, match="work"):
        rendered(data, "PNG", 4)
    assert time.process_time() - begun < 1


def test_tile_larger_than_the_limit_on_pixels_is_refused():
    rows = [(322, 4, 1, 16_000), (323, 4, 1, 16_000)]
    directory = struct.pack("<H", 2) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
    with pytest.raises(Unrenderable, match="work"):
        rendered(b"II*\0" + struct.pack("<I", 8) + directory, "PNG", 4)


def test_costly_tiles_and_compressions_are_refused():
    for rows in ([(322, 3, 1, 8192), (323, 3, 1, 8192)], [(259, 3, 1, 34925)], [(259, 3, 1, 50000)]):
        directory = struct.pack("<H", len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
        with pytest.raises(Unrenderable, match=r"work|LZMA|Zstandard"):
            rendered(b"II*\0" + struct.pack("<I", 8) + directory, "PNG", 4)


def test_tiles_with_far_more_pixels_than_the_picture_are_refused():
    """A small stream may be used for all of 4,096 tiles of 16 megapixels."""
    with pytest.raises(Unrenderable, match="work"):
        rendered(tiff_of((256, 4, 1, 65_535), (257, 4, 1, 1), (322, 4, 1, 16), (323, 4, 1, 1_048_576)), "PNG", 4)


@pytest.mark.parametrize(
    ("tag", "first_value", "second_value"), [(322, 24_000, 64), (259, 34_925, 8), (277, 30, 1), (258, 32, 8)]
)
def test_tiff_with_a_tag_twice_is_refused(tag, first_value, second_value):
    """libtiff uses the first tag, and Pillow the last."""
    with pytest.raises(Unrenderable, match="corrupt"):
        rendered(
            tiff_of((256, 4, 1, 64), (257, 4, 1, 64), (tag, 4, 1, first_value), (tag, 4, 1, second_value)), "PNG", 4
        )


@pytest.mark.parametrize("late", [ihdr(7000), chunk(b"PLTE", bytes(768)) * 2])
@pytest.mark.parametrize("first", [True, False])
def test_png_with_a_critical_chunk_twice_is_refused(late, first):
    pixels = zlib.compress(bytes(4 * 13))
    control = struct.pack(">IIIIHHBB", 4, 4, 0, 0, 1, 10, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + ihdr(4) + (late if first else b"") + chunk(b"acTL", struct.pack(">II", 2, 0))
    data += chunk(b"fcTL", struct.pack(">I", 0) + control) + chunk(b"IDAT", pixels) + (b"" if first else late)
    data += chunk(b"fcTL", struct.pack(">I", 1) + control) + chunk(b"fdAT", struct.pack(">I", 2) + pixels)
    with pytest.raises(Unrenderable):
        rendered(data + chunk(b"IEND", b""), "PNG", 4)


def test_gif_with_a_frame_that_only_pillow_finds_is_refused():
    """An empty sub-block ends an extension. Pillow reads on and finds a frame of 49 megapixels."""
    hidden = b"\x44\x01" + bytes(32) + b"," + struct.pack("<HHHHB", 0, 0, 7000, 7000, 0) + b"\x02\x02\x44\x01\0"
    body = b"!\xf9\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02" + bytes((len(hidden),)) + hidden + b"\0"
    with pytest.raises(Unrenderable):
        rendered(gif(1, 1, body + gif_frame() * 19), "WEBP", 16)


def test_track_with_two_tables_of_a_kind_or_millions_of_samples_is_refused():
    animated = saved(quarters(), "AVIF", save_all=True, append_images=[quarters().rotate(90)])
    at = animated.index(b"stsz") - 4
    table = animated[at : at + int.from_bytes(animated[at : at + 4], "big")]
    many = table[:16] + (2_500_000).to_bytes(4, "big") + table[20:]
    assert rendered(animated, "PNG", 16).frames == 2
    with pytest.raises(Unrenderable, match="work"):
        rendered(animated.replace(table, many), "PNG", 16)
    other = animated.index(b"stsc") - 4
    renamed = animated[: other + 4] + b"stsz" + animated[other + 8 :]
    with pytest.raises(Unrenderable, match="corrupt"):
        rendered(renamed, "PNG", 16)


@pytest.mark.parametrize("moving", [False, True])
def test_avif_with_frames_larger_than_its_size_is_refused(moving):
    """The container has 64x48 pixels. The reader would notice the difference only after decoding 19 megapixels."""
    options = {"save_all": True, "append_images": [Image.new("RGB", (4400, 4400), "red")]} if moving else {}
    data = saved(Image.new("RGB", (4400, 4400)), "AVIF", speed=10, **options)
    for room, shift in ((">II", 0), (">HH", 0), (">II", 16)):  # sizes of the item, the sample entry and the track
        data = data.replace(
            struct.pack(room, 4400 << shift, 4400 << shift), struct.pack(room, 64 << shift, 48 << shift)
        )
    with pytest.raises(Unrenderable, match="work"):
        rendered(data, "PNG", 20)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_sound_avif_of_many_frames_is_not_refused(mode):
    frames = [Image.effect_noise((96, 64), each).convert(mode) for each in range(10, 90, 10)]
    assert rendered(saved(frames[0], "AVIF", save_all=True, append_images=frames[1:]), "PNG").frames == 8


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda: webp_canvas(5001, 5000), 25_000_000),
        (lambda: avif_claiming(5001), 25_000_000),
        (lambda: saved(Image.new("RGB", (6400, 6400)), "JPEG", subsampling=0, progressive=True), 40_000_000),
        (lambda: png(1, 65_536, pixels=b""), 65_535),
    ],
    ids=["WebP", "AVIF", "progressive JPEG without subsampling", "a line"],
)
def test_limit_counts_all_bytes_that_a_reader_holds(make, limit):
    data = make()
    with pytest.raises(Unrenderable) as caught:
        rendered(data, "PNG", 20)
    assert caught.value.values["limit"] == limit


def test_small_run_length_encoded_bmp_is_rendered():
    assert rendered(runs(4, 2, b"\4\1\0\0\4\0\0\0\0\1"), "PNG").width == 4
    with pytest.raises(Unrenderable, match="work"):
        rendered(runs(2_000, 1_001, b"\xff\1" * 8_000), "PNG", 20)


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)),  # the depth map or second picture of a phone
        (0xE1, b"Exif\0\0" + bytes(65_000)),
        (0xED, b"Photoshop 3.0\0" + b"8BIM" * 16_000),
        (0xDB, (b"\0" + bytes(range(1, 65))) * 1000),
    ],
    ids=["XMP", "Exif", "Photoshop", "quantisation tables"],
)
def test_metadata_of_some_megabytes_is_not_refused(marker, body):
    """Only libjpeg reads quantisation tables, which Pillow's parser would read many times."""
    assert rendered(segments(marker, body, 200), "PNG", 4).width == 4


@pytest.mark.parametrize("options", [{}, {"big_tiff": True}])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_bits_of_a_tiff_count_outside_the_entry_too(mode, options):
    """The TIFF is uncompressed, so that its directory is after the first 64 KiB."""
    data = saved(quarters(600, 500).convert(mode), "TIFF", **options)
    assert rendered(data, "PNG", 20, limits=Limits(max_decoded_bytes=8 * 600 * 500)).width == 20
    if mode == "CMYK":
        with pytest.raises(Unrenderable):
            rendered(data, "PNG", 20, limits=Limits(max_decoded_bytes=8 * 600 * 500 - 1))
