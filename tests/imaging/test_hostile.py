"""Hostile files: they are refused with documented errors, within a second, and without other readers."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import time
import warnings

import pytest
from PIL import Image

from service.errors import BadParameter, Unrenderable
from service.formats import Fit, Format
from service.imaging.order import Order, Rendered
from service.imaging.render import render
from tests.imaging.forged import (
    avif_claiming,
    gif,
    gif_frame,
    jpeg_claiming,
    progressive_with_scans,
    tiff_claiming,
    webp,
)
from tests.pixels import rendered
from tools.pictures.drawing import quarters, saved
from tools.pictures.png import chunk, png

SOURCES = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "BMP"]
MEGABYTES_8 = 8 << 20


BOMBS = {
    "png of 10,000 squared": lambda: png(10_000, 10_000, pixels=b""),
    "png of 2^31 squared": lambda: png(2**31 - 1, 2**31 - 1, pixels=b""),
    "png of no width": lambda: png(0, 5, pixels=b""),
    "png of empty chunks": lambda: png(4, 4, chunk(b"teSt") * (MEGABYTES_8 // 12)),
    "gif of 65,535 squared": lambda: gif(65_535, 65_535, gif_frame()),
    "gif with a frame far out": lambda: gif(10, 10, gif_frame() + gif_frame(60_000, 60_000)),
    "gif of junk": lambda: gif(1, 1, bytes(MEGABYTES_8)),
    "gif of one-byte blocks": lambda: gif(1, 1, b"!\xfe" + b"\1a" * (MEGABYTES_8 // 2)),
    "jpeg of 65,500 squared": lambda: jpeg_claiming(65_500, 65_500),
    "jpeg of empty markers": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * (MEGABYTES_8 // 4),
    "jpeg of fill bytes": lambda: b"\xff\xd8\xff" + b"\xff" * MEGABYTES_8,
    "jpeg of 400 passes": lambda: progressive_with_scans(400),
    "webp of 16,384 squared": lambda: webp((b"VP8X", bytes(4) + b"\xff\x3f\0" * 2), (b"VP8 ", bytes(30))),
    "avif of 30,000 squared": lambda: avif_claiming(30_000),
    "tiff of 2^31 squared": lambda: tiff_claiming(2**31),
    "bmp of 30,000 squared": lambda: (
        b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 30_000, 30_000, 1, 24, 0) + bytes(40)
    ),
    "eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_file_is_refused_within_a_second(name):
    bomb = BOMBS[name]()
    start = time.process_time()
    with pytest.raises(Unrenderable):
        rendered(bomb, "PNG", 32)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_count_of_frames_is_bounded(kind):
    endless = gif(1, 1, gif_frame() * (MEGABYTES_8 // 16))
    start = time.process_time()
    made = rendered(endless, kind, 32)
    assert time.process_time() - start < 1
    assert (made.frames, made.first_frame) == (1, True)


def test_apng_of_two_thousand_million_frames_gives_its_first_frame():
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0))
    made = rendered(png(8, 8, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), control), "PNG")
    assert (made.frames, made.first_frame) == (1, True)


@pytest.mark.parametrize("kind", SOURCES)
def test_truncated_picture_is_refused_or_complete(kind):
    """A picture without all of its pixels is refused. Trailers and metadata after the pixels may be missing.

    The last row of blocks of a JPEG may be missing too (`test_jpeg_end`).
    """
    noise = Image.merge("RGB", [Image.effect_noise((50, 40), 50)] * 3)
    data = saved(noise, kind)
    whole = rendered(data, "PNG", 20).data
    refused = 0
    ends = range(0, len(data), 10)
    for end in ends:
        try:
            assert rendered(data[:end], "PNG", 20).data == whole or kind == "JPEG"
        except Unrenderable:
            refused += 1
    assert refused >= (0.6 if kind == "JPEG" else 0.95) * len(ends)


@pytest.mark.parametrize("kind", SOURCES)
def test_mutants_raise_only_documented_errors(kind):
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
    assert rendered_ < 60  # some mutants are refused


def test_no_other_plug_in_of_pillow_is_registered():
    """After pictures were read, refused and written in a new process, only the listed plug-ins are registered."""
    program = """
import sys
from service.errors import Unrenderable
from service.formats import Format, IfBlank
from service.imaging.order import Placeholder
from service.imaging.drawing.placeholders import draw
from service.imaging.order import Order
from service.imaging.render import render
for data in (b"%!PS-Adobe-3.0 EPSF-3.0\\n", b"8BPS" + bytes(40), b"BM" + bytes(60), b"GIF89a", b"II*\\0" + bytes(40)):
    try:
        render(data, Order(Format.PNG))
    except Unrenderable:
        pass
for kind in (Format.PNG, Format.WEBP, Format.TIFF, Format.GIF, Format.AVIF):
    render(draw(Placeholder(IfBlank.DEFAULT, 16, 16, kind)), Order(Format.JPEG, 8))
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


def test_warnings_of_pillow_are_suppressed():
    """The suite turns warnings into errors. Pillow warns about broken EXIF and APNGs."""
    data = saved(
        quarters(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + b"\1\x12\0\3\xff\xff\xff\xff\0\0\xff\xff" * 5
    )
    assert rendered(data, "PNG").width == 80
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).getexif()
    assert caught


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_photographs_of_fifty_megapixels_are_rendered(options):
    assert rendered(saved(Image.new("RGB", (8160, 6120)), "JPEG", **options), "PNG", 20).height == 15


def test_avif_rendition_has_a_limit_on_pixels():
    with pytest.raises(BadParameter, match="AVIF"):
        rendered(saved(quarters(), "PNG"), "AVIF", 4096, 4096, Fit.FILL)
