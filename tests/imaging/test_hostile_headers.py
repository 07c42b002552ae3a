"""Headers that make work, or say two things at once: judged before a decoder sees them."""

from __future__ import annotations

import struct
import time
import zlib

import pytest
from PIL import Image

from service.errors import Unrenderable
from service.imaging.render import Limits
from tests.imaging.forged import avif_claiming, gif, gif_frame, runs, segments, tiff_of, tiff_with, webp_canvas
from tests.pictures_in_code import chunk, png, quarters, rendered, saved


def ihdr(side):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))


def test_a_sequential_jpeg_of_many_scans_is_refused():
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
def test_a_header_full_of_work_is_refused_at_once(make):
    data = make()
    begun = time.process_time()
    with pytest.raises(Unrenderable, match="work"):
        rendered(data, "PNG", 4)
    assert time.process_time() - begun < 1


def test_a_tile_larger_than_any_picture_is_refused():
    rows = [(322, 4, 1, 16_000), (323, 4, 1, 16_000)]
    directory = struct.pack("<H", 2) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
    with pytest.raises(Unrenderable, match="work"):
        rendered(b"II*\0" + struct.pack("<I", 8) + directory, "PNG", 4)


def test_tiles_and_compressions_that_cost_more_than_a_picture_are_refused():
    for rows in ([(322, 3, 1, 8192), (323, 3, 1, 8192)], [(259, 3, 1, 34925)], [(259, 3, 1, 50000)]):
        directory = struct.pack("<H", len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
        with pytest.raises(Unrenderable, match=r"work|LZMA|Zstandard"):
            rendered(b"II*\0" + struct.pack("<I", 8) + directory, "PNG", 4)


def test_tiles_that_add_up_to_far_more_than_the_picture_are_refused():
    """One small stream can stand for all of 4,096 tiles of 16 megapixels."""
    with pytest.raises(Unrenderable, match="work"):
        rendered(tiff_of((256, 4, 1, 65_535), (257, 4, 1, 1), (322, 4, 1, 16), (323, 4, 1, 1_048_576)), "PNG", 4)


@pytest.mark.parametrize(("tag", "said", "meant"), [(322, 24_000, 64), (259, 34_925, 8), (277, 30, 1), (258, 32, 8)])
def test_a_tiff_that_says_two_things_of_itself_is_refused(tag, said, meant):
    """libtiff believes the first, and whoever reads on the last."""
    with pytest.raises(Unrenderable, match="corrupt"):
        rendered(tiff_of((256, 4, 1, 64), (257, 4, 1, 64), (tag, 4, 1, said), (tag, 4, 1, meant)), "PNG", 4)


@pytest.mark.parametrize("late", [ihdr(7000), chunk(b"PLTE", bytes(768)) * 2])
@pytest.mark.parametrize("first", [True, False])
def test_a_png_with_a_critical_chunk_twice_is_refused(late, first):
    pixels = zlib.compress(bytes(4 * 13))
    control = struct.pack(">IIIIHHBB", 4, 4, 0, 0, 1, 10, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + ihdr(4) + (late if first else b"") + chunk(b"acTL", struct.pack(">II", 2, 0))
    data += chunk(b"fcTL", struct.pack(">I", 0) + control) + chunk(b"IDAT", pixels) + (b"" if first else late)
    data += chunk(b"fcTL", struct.pack(">I", 1) + control) + chunk(b"fdAT", struct.pack(">I", 2) + pixels)
    with pytest.raises(Unrenderable):
        rendered(data + chunk(b"IEND", b""), "PNG", 4)


def test_a_gif_whose_canvas_hides_where_only_one_parser_looks_is_refused():
    """An extension whose first block is empty has ended; Pillow reads on, and finds a frame of 49 megapixels."""
    hidden = b"\x44\x01" + bytes(32) + b"," + struct.pack("<HHHHB", 0, 0, 7000, 7000, 0) + b"\x02\x02\x44\x01\0"
    body = b"!\xf9\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02" + bytes((len(hidden),)) + hidden + b"\0"
    with pytest.raises(Unrenderable):
        rendered(gif(1, 1, body + gif_frame() * 19), "WEBP", 16)


def test_a_film_with_two_tables_of_one_kind_or_millions_of_samples_is_refused():
    film = saved(quarters(), "AVIF", save_all=True, append_images=[quarters().rotate(90)])
    at = film.index(b"stsz") - 4
    table = film[at : at + int.from_bytes(film[at : at + 4], "big")]
    many = table[:16] + (2_500_000).to_bytes(4, "big") + table[20:]
    assert rendered(film, "PNG", 16).frames == 2
    with pytest.raises(Unrenderable, match="work"):
        rendered(film.replace(table, many), "PNG", 16)
    other = film.index(b"stsc") - 4
    renamed = film[: other + 4] + b"stsz" + film[other + 8 :]
    with pytest.raises(Unrenderable, match="corrupt"):
        rendered(renamed, "PNG", 16)


@pytest.mark.parametrize("moving", [False, True])
def test_an_avif_whose_frames_are_larger_than_it_says_is_refused(moving):
    """Its container says 64x48; the reader would notice once it has decoded 19 megapixels."""
    options = {"save_all": True, "append_images": [Image.new("RGB", (4400, 4400), "red")]} if moving else {}
    data = saved(Image.new("RGB", (4400, 4400)), "AVIF", speed=10, **options)
    for room, shift in ((">II", 0), (">HH", 0), (">II", 16)):  # of the item, of the sample entry, of the track
        data = data.replace(
            struct.pack(room, 4400 << shift, 4400 << shift), struct.pack(room, 64 << shift, 48 << shift)
        )
    with pytest.raises(Unrenderable, match="work"):
        rendered(data, "PNG", 20)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_honest_avif_of_many_frames_is_not(mode):
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
def test_what_a_reader_would_hold_in_other_forms_counts(make, limit):
    data = make()
    with pytest.raises(Unrenderable) as caught:
        rendered(data, "PNG", 20)
    assert caught.value.values["limit"] == limit


def test_a_run_length_encoded_bmp_may_be_small():
    assert rendered(runs(4, 2, b"\4\1\0\0\4\0\0\0\0\1"), "PNG").width == 4
    with pytest.raises(Unrenderable, match="work"):
        rendered(runs(2_000, 1_001, b"\xff\1" * 8_000), "PNG", 20)


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)),  # a phone's depth map or second picture
        (0xE1, b"Exif\0\0" + bytes(65_000)),
        (0xED, b"Photoshop 3.0\0" + b"8BIM" * 16_000),
        (0xDB, (b"\0" + bytes(range(1, 65))) * 1000),
    ],
    ids=["XMP", "Exif", "Photoshop", "quantisation tables"],
)
def test_metadata_of_some_megabytes_is_not(marker, body):
    """Nor what Pillow would take apart again and again: only libjpeg looks at it."""
    assert rendered(segments(marker, body, 200), "PNG", 4).width == 4


@pytest.mark.parametrize("options", [{}, {"big_tiff": True}])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_a_tiff_is_judged_by_its_depth_wherever_that_is_stored(mode, options):
    """Uncompressed, so that its directory lies past the first 64 KiB."""
    data = saved(quarters(600, 500).convert(mode), "TIFF", **options)
    assert rendered(data, "PNG", 20, limits=Limits(max_decoded_bytes=8 * 600 * 500)).width == 20
    if mode == "CMYK":
        with pytest.raises(Unrenderable):
            rendered(data, "PNG", 20, limits=Limits(max_decoded_bytes=8 * 600 * 500 - 1))
