"""Bytes with bad intentions: refused in our own words, soon, and without a foreign line of code."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import time
import warnings
import zlib

import pytest
from PIL import Image

from service.errors import BadParameter, Unrenderable
from service.formats import Fit, Format
from service.imaging.render import Limits, Order, Rendered, render
from tests.pictures_in_code import chunk, png, quarters, rendered, saved

SOURCES = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "BMP"]
MEGABYTES_8 = 8 << 20


def gif(width: int, height: int, body: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + body + b";"


def gif_frame(left: int = 0, top: int = 0) -> bytes:
    return b"," + struct.pack("<HHHHB", left, top, 1, 1, 0) + b"\x02\x02\x44\x01\0"


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) & 1) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def jpeg_claiming(width: int, height: int) -> bytes:
    data = saved(quarters(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def avif_claiming(side: int) -> bytes:
    data = saved(quarters(), "AVIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


def tiff_claiming(side: int) -> bytes:
    tags = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (279, 4, 9),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def progressive_with_scans(count: int) -> bytes:
    data = saved(Image.new("L", (3000, 3000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


BOMBS = {
    "png of 10,000 squared": png(10_000, 10_000, pixels=b""),
    "png of 2^31 squared": png(2**31 - 1, 2**31 - 1, pixels=b""),
    "png of no width": png(0, 5, pixels=b""),
    "png of empty chunks": png(4, 4, chunk(b"teSt") * (MEGABYTES_8 // 12)),
    "png with a profile that inflates": png(4, 4, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
    "png with texts that inflate": png(4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 80),
    "gif of 65,535 squared": gif(65_535, 65_535, gif_frame()),
    "gif with a frame far out": gif(10, 10, gif_frame() + gif_frame(60_000, 60_000)),
    "gif of junk": gif(1, 1, bytes(MEGABYTES_8)),
    "gif of one-byte blocks": gif(1, 1, b"!\xfe" + b"\1a" * (MEGABYTES_8 // 2)),
    "jpeg of 65,500 squared": jpeg_claiming(65_500, 65_500),
    "jpeg of empty markers": b"\xff\xd8" + b"\xff\xfe\0\2" * (MEGABYTES_8 // 4),
    "jpeg of fill bytes": b"\xff\xd8\xff" + b"\xff" * MEGABYTES_8,
    "jpeg of 400 passes": progressive_with_scans(400),
    "webp of 16,384 squared": webp((b"VP8X", bytes(4) + b"\xff\x3f\0" * 2), (b"VP8 ", bytes(30))),
    "avif of 30,000 squared": avif_claiming(30_000),
    "tiff of 2^31 squared": tiff_claiming(2**31),
    "bmp of 30,000 squared": b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 30_000, 30_000, 1, 24, 0) + bytes(40),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_a_second(name):
    start = time.perf_counter()
    with pytest.raises(Unrenderable):
        rendered(BOMBS[name], "PNG", 32)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_counting_frames_is_bounded(kind):
    endless = gif(1, 1, gif_frame() * (MEGABYTES_8 // 16))
    start = time.perf_counter()
    made = rendered(endless, kind, 32)
    assert time.perf_counter() - start < 1
    assert (made.frames, made.first_frame) == (1, True)


def test_an_apng_of_two_thousand_million_frames_gives_its_first():
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0))
    made = rendered(png(8, 8, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), control), "PNG")
    assert (made.frames, made.first_frame) == (1, True)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_picture_cut_short_is_refused_or_whole(kind):
    """Nothing but pixels may be missing for a picture to be refused; trailers and later metadata may be."""
    noise = Image.merge("RGB", [Image.effect_noise((50, 40), 50)] * 3)
    data = saved(noise, kind)
    whole = rendered(data, "PNG", 20).data
    refused = 0
    ends = range(0, len(data), 10)
    for end in ends:
        try:
            assert rendered(data[:end], "PNG", 20).data == whole
        except Unrenderable:
            refused += 1
    assert refused >= 0.95 * len(ends)


@pytest.mark.parametrize("kind", SOURCES)
def test_mutants_raise_nothing_of_pillows(kind):
    dice = random.Random(kind)
    frames = [quarters(24, 20), quarters(24, 20).rotate(180)]
    options = {"save_all": True, "append_images": frames[1:]} if kind in ("GIF", "PNG", "WEBP", "AVIF") else {}
    data = saved(frames[0], kind, **options)
    rendered_ = 0
    for _ in range(60):
        mutant = bytearray(data)
        for _ in range(dice.randint(1, 8)):
            mutant[dice.randrange(len(mutant))] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
        try:
            order = Order(dice.choice((Format.PNG, Format.GIF, Format.WEBP, Format.JPEG)), 16)
            rendered_ += isinstance(render(bytes(mutant), order), Rendered)
        except (Unrenderable, BadParameter) as error:
            assert "Error" not in str(error) and "/" not in str(error)
    assert rendered_ < 60  # some mutants do break


def test_a_file_with_a_false_name_reaches_no_interpreter_and_no_other_plug_in_is_there():
    """In a process of its own: what is registered after reading, refusing and writing is what we named."""
    program = """
import sys
from service.errors import Unrenderable
from service.formats import Format, IfBlank
from service.imaging.order import Blank
from service.imaging.drawing.placeholders import draw
from service.imaging.render import Order, render
for data in (b"%!PS-Adobe-3.0 EPSF-3.0\\n", b"8BPS" + bytes(40), b"BM" + bytes(60), b"GIF89a", b"II*\\0" + bytes(40)):
    try:
        render(data, Order(Format.PNG))
    except Unrenderable:
        pass
for kind in (Format.PNG, Format.WEBP, Format.TIFF, Format.GIF, Format.AVIF):
    render(draw(Blank(IfBlank.DEFAULT, 16, 16, kind)), Order(Format.JPEG, 8))
from PIL import Image
print(sorted(Image.OPEN))
print(sorted(name for name in sys.modules if name.endswith("ImagePlugin")))
print("numpy" in sys.modules, "subprocess" in sys.modules and "PIL.EpsImagePlugin" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    opened, modules, rest = done.stdout.splitlines()
    allowed = {"AVIF", "BMP", "DIB", "GIF", "JPEG", "PNG", "TIFF", "WEBP", "HEIF"}
    assert set(eval(opened)) <= allowed
    assert all(name.split(".")[-1].removesuffix("ImagePlugin").upper() in allowed for name in eval(modules))
    assert rest == "False False"
    assert done.stderr == ""


def test_warnings_stay_within():
    """The suite turns warnings into errors: Pillow's about broken EXIF and odd APNGs must not get out."""
    data = saved(
        quarters(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + b"\1\x12\0\3\xff\xff\xff\xff\0\0\xff\xff" * 5
    )
    assert rendered(data, "PNG").width == 80
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).getexif()
    assert said


def test_a_sequential_jpeg_of_many_scans_is_refused():
    data = saved(Image.new("RGB", (6000, 6000)), "JPEG", subsampling=0)
    head = data[: data.index(b"\xff\xda")]

    def scan(component, table):
        return b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, component, table, 0, 63, 0) + bytes(8)

    bomb = head + scan(1, 0) + (scan(2, 0x11) + scan(3, 0x11) + scan(1, 0)) * 900 + b"\xff\xd9"
    with pytest.raises(Unrenderable, match="passes"):
        rendered(bomb, "PNG", 20)


def tiff_with(tag, type_, count, payload):
    """A sound 4x4 grey TIFF with one tag more, whose values lie at the end."""
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (279, 4, 1, 16)]
    at = 24 + 2 + 12 * (len(tags) + 1) + 4
    rows = sorted([*tags, (tag, type_, count, at)])
    directory = struct.pack("<H", len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
    return b"II*\0" + struct.pack("<I", 24) + bytes(16) + directory + payload


@pytest.mark.parametrize(
    "data",
    [
        tiff_with(282, 5, 4_000_000, struct.pack("<II", 1, 3) * 4_000_000),
        tiff_with(330, 4, 1_000_000, bytes(4_000_000)),
        b"\xff\xd8" + b"".join(b"\xff\xe1\x01\x36Exif\0\0" + bytes(302) for _ in range(100_000)),
        b"\xff\xd8" + b"".join(b"\xff\xed\xff\xfcPhotoshop 3.0\0" + b"8BIM" * 16_379 for _ in range(20)),
    ],
    ids=["rationals", "sub-directories", "Exif segments", "Photoshop resources"],
)
def test_a_header_full_of_work_is_refused_at_once(data):
    begun = time.perf_counter()
    with pytest.raises(Unrenderable, match="work"):
        rendered(data, "PNG", 4)
    assert time.perf_counter() - begun < 1


def test_a_tile_larger_than_any_picture_is_refused():
    rows = [(322, 4, 1, 16_000), (323, 4, 1, 16_000)]
    directory = struct.pack("<H", 2) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
    with pytest.raises(Unrenderable, match="work"):
        rendered(b"II*\0" + struct.pack("<I", 8) + directory, "PNG", 4)


def test_tiles_and_compressions_that_cost_more_than_a_picture_are_refused():
    for rows in ([(322, 3, 1, 8192), (323, 3, 1, 8192)], [(259, 3, 1, 34925)], [(259, 3, 1, 50000)]):
        directory = struct.pack("<H", len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
        with pytest.raises(Unrenderable, match=r"work|compression"):
            rendered(b"II*\0" + struct.pack("<I", 8) + directory, "PNG", 4)


def tiff_of(*rows):
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(rows)) + b"".join(
        struct.pack("<HHII", *row) for row in rows
    ) + bytes(4)  # fmt: skip


def test_tiles_that_add_up_to_far_more_than_the_picture_are_refused():
    """One small stream can stand for all of 4,096 tiles of 16 megapixels."""
    with pytest.raises(Unrenderable, match="work"):
        rendered(tiff_of((256, 4, 1, 65_535), (257, 4, 1, 1), (322, 4, 1, 16), (323, 4, 1, 1_048_576)), "PNG", 4)


@pytest.mark.parametrize(("tag", "said", "meant"), [(322, 24_000, 64), (259, 34_925, 8), (277, 30, 1), (258, 32, 8)])
def test_a_tiff_that_says_two_things_of_itself_is_refused(tag, said, meant):
    """libtiff believes the first, and whoever reads on the last."""
    with pytest.raises(Unrenderable, match="corrupt"):
        rendered(tiff_of((256, 4, 1, 64), (257, 4, 1, 64), (tag, 4, 1, said), (tag, 4, 1, meant)), "PNG", 4)


def ihdr(side):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))


@pytest.mark.parametrize("late", [ihdr(7000), chunk(b"PLTE", bytes(768)) * 2, chunk(b"tRNS", bytes(6)) * 2])
@pytest.mark.parametrize("first", [True, False])
def test_a_png_that_says_twice_what_it_may_say_once_is_refused(late, first):
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


@pytest.mark.parametrize("options", [{}, {"save_all": True, "append_images": [Image.new("RGB", (4400, 4400), "red")]}])
def test_an_avif_whose_frames_are_larger_than_it_says_is_refused(options):
    """Its container says 64x48; the reader would notice once it has decoded 19 megapixels."""
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


def webp_canvas(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp((b"VP8X", bytes(4) + sides), (b"VP8 ", bytes(30)))


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (webp_canvas(5001, 5000), 25_000_000),
        (avif_claiming(5001), 25_000_000),
        (saved(Image.new("RGB", (6400, 6400)), "JPEG", subsampling=0, progressive=True), 40_000_000),
        (png(1, 65_536, pixels=b""), 65_535),
    ],
    ids=["WebP", "AVIF", "progressive JPEG without subsampling", "a line"],
)
def test_what_a_reader_would_hold_in_other_forms_counts(data, limit):
    with pytest.raises(Unrenderable) as caught:
        rendered(data, "PNG", 20)
    assert caught.value.values["limit"] == limit


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_photographs_of_fifty_megapixels_are_rendered(options):
    assert rendered(saved(Image.new("RGB", (8160, 6120)), "JPEG", **options), "PNG", 20).height == 15


def runs(width: int, height: int, body: bytes) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 62 + len(body), 0, 0, 62) + head + bytes(4) + b"\xff" * 4 + body


def test_a_run_length_encoded_bmp_may_be_small():
    assert rendered(runs(4, 2, b"\4\1\0\0\4\0\0\0\0\1"), "PNG").width == 4
    with pytest.raises(Unrenderable, match="work"):
        rendered(runs(2_000, 1_001, b"\xff\1" * 8_000), "PNG", 20)


def segments(marker: int, body: bytes, count: int) -> bytes:
    data = saved(quarters(), "JPEG")
    return data[:2] + (bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body) * count + data[2:]


@pytest.mark.parametrize(
    "data",
    [
        segments(0xDB, (b"\0" + bytes(range(1, 65))) * 1000, 2),
        segments(0xE1, b"Exif\0\0" + bytes(65_000), 65),
        png(4, 4, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 17),
        png(4, 4)[:-12] + chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 17 + png(4, 4)[-12:],
    ],
    ids=["quantisation tables", "Exif in pieces", "profiles", "profiles after the pixels"],
)
def test_what_pillow_takes_apart_again_and_again_is_refused(data):
    with pytest.raises(Unrenderable, match="work"):
        rendered(data, "PNG", 4)


def test_metadata_of_some_megabytes_is_not():
    """Phones keep a depth map or a second picture in extended XMP."""
    data = segments(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000), 200)
    assert rendered(data, "PNG", 4).width == 4


def test_an_avif_rendition_has_a_cap_of_its_own():
    with pytest.raises(BadParameter, match="AVIF"):
        rendered(saved(quarters(), "PNG"), "AVIF", 4096, 4096, Fit.FILL)


@pytest.mark.parametrize("options", [{}, {"big_tiff": True}])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_a_tiff_is_judged_by_its_depth_wherever_that_is_stored(mode, options):
    """Uncompressed, so that its directory lies past the first 64 KiB."""
    data = saved(quarters(600, 500).convert(mode), "TIFF", **options)
    assert rendered(data, "PNG", 20, limits=Limits(max_decoded_bytes=8 * 600 * 500)).width == 20
    if mode == "CMYK":
        with pytest.raises(Unrenderable):
            rendered(data, "PNG", 20, limits=Limits(max_decoded_bytes=8 * 600 * 500 - 1))
