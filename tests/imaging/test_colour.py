"""Renditions of every colour space, depth and container are sRGB (docs/contract.md, section 3).

Every profile is read quickly.
"""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from service.errors import Unsupported
from service.imaging.pixels.colour import _kept, to_srgb
from tests.conftest import examples
from tests.pixels import near, rendered, shown
from tools.pictures.drawing import RED, quarters, saved
from tools.pictures.png import chunk, png


def tags_of(profile: bytes) -> list[tuple[bytes, bytes]]:
    entries = (profile[i : i + 12] for i in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12))
    return [(name, profile[at : at + size]) for name, at, size in (struct.unpack(">4sII", each) for each in entries)]


def assembled(tags: list[tuple[bytes, bytes]], space: bytes = b"RGB ", kind: bytes = b"mntr", pcs: bytes = b"XYZ ",
              version: int = 4) -> bytes:  # fmt: skip
    at = 132 + 12 * len(tags)
    directory, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        directory += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), version << 24, kind, space, pcs)
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + directory + body


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = assembled([({b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name), data) for name, data in tags_of(SRGB)])
"""sRGB with red and blue swapped, so that its effect is visible."""
GAMMA = b"curv" + bytes(4) + struct.pack(">IH", 1, 256) + bytes(2)
WHITE = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
LINEAR_GREY = assembled([(b"kTRC", GAMMA), (b"wtpt", WHITE)], space=b"GRAY", version=2)
"""Linear grey: a quarter of the light is 64, and 137 in sRGB."""


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), *((kind, mode) for kind in ("PNG", "TIFF") for mode in ("RGB", "RGBA", "P"))]
    + [(kind, mode) for kind in ("WEBP", "AVIF") for mode in ("RGB", "RGBA")],
)
@pytest.mark.parametrize("size", [0, 150_000])
def test_profile_is_applied_in_every_container_and_mode(kind, mode, size):
    """A JPEG has a profile of 150 KB in three segments."""
    profile = assembled([*tags_of(SWAPPED), (b"long", b"text" + bytes(size))])
    image = Image.new("RGB", (16, 16), RED)
    image = image.quantize(16) if mode == "P" else image.convert(mode)
    if mode == "RGBA":
        image.putpixel((0, 0), (0, 0, 0, 0))
    made = shown(rendered(saved(image, kind, icc_profile=profile), "PNG").data).convert("RGB")
    assert near(made.getpixel((8, 8)), RED[::-1], 6)


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "L"), *((kind, mode) for kind in ("PNG", "TIFF") for mode in ("L", "LA", "I;16"))]
)
def test_profile_of_grey_is_applied(kind, mode):
    image = Image.new("I;16", (8, 8), 64 * 257) if mode == "I;16" else Image.new("L", (8, 8), 64).convert(mode)
    if mode == "LA":
        image.putpixel((0, 0), (0, 0))
    made = shown(rendered(saved(image, kind, icc_profile=LINEAR_GREY), "PNG").data).convert("RGB")
    assert near(made.getpixel((4, 4)), (137, 137, 137), 2)


def test_profile_of_16_bit_rgb_is_applied():
    raw = b"".join(b"\0" + bytes(part for value in RED for part in (value, value)) * 4 for _ in range(4))
    icc = chunk(b"iCCP", b"icc\0\0" + zlib.compress(SWAPPED))
    made = shown(rendered(png(4, 4, icc, depth=16, pixels=raw), "PNG").data)
    assert near(made.getpixel((2, 2)), RED[::-1], 4)


def test_gamma_and_chromaticities_of_png_are_ignored():
    gama = chunk(b"gAMA", (100_000).to_bytes(4, "big"))
    chrm = chunk(b"cHRM", struct.pack(">8I", 31_270, 32_900, 30_000, 60_000, 64_000, 33_000, 15_000, 6_000))
    raw = b"\0" + bytes((10, 128, 200)) * 2
    assert shown(rendered(png(2, 1, gama, chrm, pixels=raw), "PNG").data).getpixel((0, 0)) == (10, 128, 200)


def lut(*, depth: int = 9, darkest: int = 0x3000) -> bytes:
    """Return an `mft2` table from RGB to Lab whose black has the lightness *darkest*."""
    steps = [darkest + (0xFF00 - darkest) * step // (depth - 1) for step in range(depth)]
    most = [max(index // depth**each % depth for each in range(3)) for index in range(depth**3)]
    table = b"".join(struct.pack(">3H", steps[each], 0x8000, 0x8000) for each in most)
    straight = struct.pack(">2H", 0, 0xFFFF)
    identity = struct.pack(">9i", *(65_536 if each % 4 == 0 else 0 for each in range(9)))
    head = b"mft2" + bytes(4) + bytes((3, 3, depth, 0)) + identity + struct.pack(">2H", 2, 2)
    return head + straight * 3 + table + straight * 3


def test_darkest_colour_of_a_scanner_becomes_black():
    """This is black point compensation. CMYK is converted without it."""
    tags = [(b"A2B0", lut()), (b"A2B1", lut()), (b"wtpt", WHITE)]
    scanner = assembled(tags, pcs=b"Lab ", version=2, kind=b"scnr")
    assert max(to_srgb(Image.new("RGB", (2, 2), "black"), scanner).getpixel((0, 0))) <= 12


def elements(count: int) -> bytes:
    """Return a chain of *count* processing elements at one offset."""
    one = b"matf" + bytes(4) + struct.pack(">2H12f", 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    return (
        b"mpet"
        + bytes(4)
        + struct.pack(">2HI", 3, 3, count)
        + struct.pack(">2I", 16 + 8 * count, len(one)) * count
        + one
    )


HOSTILE = {
    "a chain of 10,000 elements": lambda: assembled([*tags_of(SRGB), (b"D2B1", elements(10_000))]),
    "a huge table": lambda: assembled([(b"A2B0", lut(depth=60)), (b"wtpt", WHITE)], pcs=b"Lab ", version=2),
    "a huge directory": lambda: SRGB[:128] + struct.pack(">I", 0xFFFFFFFF) + SRGB[132:] + bytes(12 * 10_000),
    "a device link": lambda: assembled([(b"A2B0", lut()), (b"wtpt", WHITE)], kind=b"link", pcs=b"Lab ", version=2),
    "named colours": lambda: assembled(
        [(b"ncl2", b"ncl2" + struct.pack(">4I", 0, 0, 0x7FFFFFFF, 3) + bytes(9_000))], kind=b"nmcl", pcs=b"Lab "
    ),
    "more than 4 MiB": lambda: assembled([*tags_of(SWAPPED), (b"long", b"text" + bytes(4_194_304))]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_picture_with_hostile_profile_is_rendered(kind):
    assert rendered(saved(quarters(), "TIFF", icc_profile=HOSTILE[kind]()), "PNG", 40).width == 40


def test_chain_of_processing_elements_is_not_evaluated():
    """It would take five seconds, and give another colour than the tables."""
    image = Image.new("RGB", (4, 4), RED)
    assert to_srgb(image, HOSTILE["a chain of 10,000 elements"]()).getpixel((0, 0)) == RED


def test_profile_above_the_limit_is_ignored():
    image = Image.new("RGB", (4, 4), RED)
    assert to_srgb(image, HOSTILE["more than 4 MiB"]()).getpixel((0, 0)) == RED


def test_transforms_of_eight_small_profiles_are_kept():
    image = Image.new("RGB", (4, 4), RED)
    _kept.cache_clear()
    for number in range(40):
        to_srgb(image, assembled([*tags_of(SWAPPED), (b"numb", b"text" + bytes((0, 0, 0, 0, number)))]))
    assert _kept.cache_info().currsize == _kept.cache_info().maxsize == 8
    to_srgb(image, assembled([*tags_of(SWAPPED), (b"long", b"text" + bytes(1_048_576))]))
    assert _kept.cache_info().misses == 40


@examples(150)
@given(st.lists(st.tuples(st.integers(0, len(SRGB) - 1), st.integers(0, 255)), min_size=1, max_size=12), st.integers(0))
def test_picture_with_damaged_profile_is_rendered(changes, cut):
    profile = bytearray(SRGB)
    for at, value in changes:
        profile[at] = value
    data = saved(Image.new("RGB", (8, 8), RED), "PNG", icc_profile=bytes(profile[: 1 + cut % len(profile)]))
    assert rendered(data, "PNG").width == 8


def tiff(tags: dict[int, tuple[int, list[int]]], planes: list[bytes], order: str = "<") -> bytes:
    """Return a TIFF without compression that has a strip for each plane."""
    offsets, at = [], 8
    for plane in planes:
        offsets.append(at)
        at += len(plane)
    tags = tags | {273: (4, offsets), 279: (4, [len(plane) for plane in planes])}
    body, beyond = b"", b""
    outside = at + 2 + 12 * len(tags) + 4
    for number, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed, beyond = struct.pack(f"{order}I", outside + len(beyond)), beyond + packed
        body += struct.pack(f"{order}HHI", number, kind, len(values)) + packed.ljust(4, b"\0")
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    return start + b"".join(planes) + struct.pack(f"{order}H", len(tags)) + body + bytes(4) + beyond


def size_and(photometric: int, bits: list[int], **more: int) -> dict[int, tuple[int, list[int]]]:
    tags = {256: (3, [4]), 257: (3, [2]), 258: (3, bits), 259: (3, [1]), 262: (3, [photometric]), 277: (3, [len(bits)])}
    return tags | ({284: (3, [2])} if more.get("planar") else {})


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_planes_of_a_tiff(order):
    """Pillow 13 reads the samples as bytes when they are not compressed."""
    planes = [struct.pack(f"{order}8H", *[value * 256 + 7] * 8) for value in RED]
    made = shown(rendered(tiff(size_and(2, [16] * 3, planar=1), planes, order), "PNG").data)
    assert [made.getpixel((x, y)) for x in range(4) for y in range(2)] == [RED] * 8


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_whose_zero_is_white(order, bits):
    samples = [0, 0, 0, (1 << bits) - 1]
    if bits == 16:
        row = struct.pack(f"{order}4H", *samples)
    else:
        row = int("".join(f"{sample:0{bits}b}" for sample in samples).ljust(8, "0"), 2).to_bytes(
            max(1, bits // 2), "big"
        )
    made = shown(rendered(tiff(size_and(0, [bits]), [row * 2], order), "PNG").data).convert("L")
    assert [made.getpixel((x, 1)) for x in range(4)] == [255, 255, 255, 0]


def test_gif_canvas_is_transparent_outside_its_frame():
    data = bytearray(saved(Image.new("P", (8, 8), 1), "GIF"))
    data[6:10] = struct.pack("<2H", 16, 8)
    made = shown(rendered(bytes(data), "PNG").data).convert("RGBA")
    assert [made.getpixel((x, 4))[3] for x in (2, 12)] == [255, 0]
    assert near(shown(rendered(bytes(data), "JPEG").data).getpixel((13, 4)), (255, 255, 255))


def test_palette_with_alpha_is_kept_when_it_makes_the_file_smaller():
    gradient = Image.linear_gradient("L").resize((200, 200))
    image = Image.merge("RGBA", (gradient, gradient.rotate(90), gradient.rotate(180), gradient.rotate(270)))
    file = io.BytesIO()
    image.quantize(256).save(file, "PNG")
    made = shown(rendered(file.getvalue(), "PNG", 100).data)
    assert made.mode == "P"
    wanted = shown(rendered(saved(shown(file.getvalue()).convert("RGBA"), "PNG"), "PNG", 100).data)
    apart = [abs(a - b) for a, b in zip(made.convert("RGBA").tobytes(), wanted.tobytes(), strict=True)]
    assert sum(apart) / len(apart) < 6
    icon = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    icon.paste((*RED, 255), (8, 8, 24, 24))
    small = shown(rendered(saved(icon.quantize(4), "PNG"), "PNG", 16).data)
    assert small.mode == "RGBA" and small.getpixel((8, 8)) == (*RED, 255)


def tiff_of_one_colour(samples: int, bits: int, photometric: int, extra: int, pixel: bytes) -> bytes:
    """Return a TIFF of one colour in a mode that Pillow does not write."""
    side, count = 16, 10
    pixels = pixel * (side * side)
    entries = [
        (256, 3, 1, side), (257, 3, 1, side), (258, 3, samples, 10 + len(pixels) + 12 * count + 4), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, samples), (278, 3, 1, side), (279, 4, 1, len(pixels)),
        (338, 3, 1, extra),
    ]  # fmt: skip
    directory = struct.pack("<H", count) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    depths = struct.pack(f"<{samples}H", *[bits] * samples)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory + depths


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_cmyk_with_an_extra_channel_is_opaque(extra: int) -> None:
    made = shown(rendered(tiff_of_one_colour(5, 8, 5, extra, bytes((0, 255, 255, 0, 128))), "PNG", 8).data)
    assert made.mode == "RGB"
    assert near(made.getpixel((4, 4)), (227, 31, 37), 12)


def test_unsupported_tiff_is_not_called_corrupt() -> None:
    with pytest.raises(Unsupported, match=r"TIFF \(32-bit RGB\) pictures are not supported"):
        rendered(tiff_of_one_colour(3, 32, 2, 0, bytes(12)), "PNG", 8)
