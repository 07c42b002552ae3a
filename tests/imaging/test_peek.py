"""Format, size and transparency from the header of a picture."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.errors import Unrenderable
from service.formats import Format
from service.imaging.containers.peek import Facts, peek
from service.imaging.containers.table import CONTAINERS
from service.imaging.containers.window import HEAD_BYTES, Window
from service.imaging.reading.readers import READERS
from tools.pictures.drawing import quarters, saved
from tools.pictures.isobmff import box
from tools.pictures.png import chunk, png

ALPHA = quarters(mode="RGBA")
ALPHA.putpixel((0, 0), (0, 0, 0, 0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "BMP"])
def test_peek_finds_the_format_by_the_first_bytes(kind):
    facts = peek(saved(quarters(), kind))
    assert (facts.format, facts.alpha) == (Format[kind], False)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP", "AVIF"])
def test_peek_finds_transparency_in_the_header(kind):
    data = saved(ALPHA, kind)
    facts = peek(data)
    assert (facts.format, facts.alpha) == (Format[kind], True)
    assert Image.open(io.BytesIO(data)).has_transparency_data


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("before", [65_000, 70_000, 1_000_000])
def test_peek_finds_transparency_after_the_first_64_kib(mode, before):
    data = saved(Image.new(mode, (30, 20)), "AVIF")
    brands = int.from_bytes(data[:4], "big")
    data = data[:brands] + box(b"free", bytes(before)) + data[brands:]
    for read in (data, Window(data[:HEAD_BYTES], len(data), lambda at, size: data[at : at + size])):
        assert peek(read) == Facts(Format.AVIF, alpha=mode == "RGBA", size=(30, 20))


def test_peek_stops_in_an_endless_list_of_boxes():
    data = saved(Image.new("RGB", (30, 20)), "AVIF") + box(b"free") * 100_000
    assert not peek(data).alpha


def test_lossless_webp_has_a_bit_for_transparency():
    assert peek(saved(ALPHA, "WEBP", lossless=True)).alpha
    assert not peek(saved(quarters(), "WEBP", lossless=True)).alpha


def test_transparent_colour_of_a_png_is_transparency():
    assert peek(png(4, 4, chunk(b"tRNS", bytes(6)))).alpha


@pytest.mark.parametrize("order", ["II", "MM"])
def test_tiff_is_read_in_both_byte_orders(order):
    data = saved(quarters(mode="I;16B" if order == "MM" else "I;16"), "TIFF")
    assert data[:2].decode() == order
    assert peek(data) == Facts(Format.TIFF, False, (80, 60))


def test_big_tiff_is_recognised():
    assert peek(saved(ALPHA, "TIFF", big_tiff=True)) == Facts(Format.TIFF, True, (80, 60))


@pytest.mark.parametrize(("brand", "kind"), [("heic", "HEIC"), ("heix", "HEIC"), ("avis", "AVIF"), ("mif1", "AVIF")])
def test_iso_brands_give_the_format(brand, kind):
    head = b"\0\0\0\x18ftyp" + brand.encode() + b"\0\0\0\0" + (b"avif" if brand == "mif1" else b"mif1") + b"miaf"
    assert peek(head).format is Format[kind]


@pytest.mark.parametrize(
    "head",
    [b"", b"\xff\xd8", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", b"RIFF\0\0\0\0WAVE", b"8BPS\0\1", b"%PDF-1.7",
     b"\0\0\0\x14ftypisom\0\0\0\0mp42"],
)  # fmt: skip
def test_unknown_first_bytes_are_refused(head):
    with pytest.raises(Unrenderable):
        peek(head)


def windowed(data):
    """Return *data* in a window, as a store reads it, and the list of its reads."""
    reads = []

    def read(begin, size):
        reads.append((begin, size))
        return data[begin : begin + size]

    return Window(data[:HEAD_BYTES], len(data), read), reads


def test_tiff_directory_at_the_end_is_read_without_the_pixels():
    data = saved(Image.effect_noise((300, 300), 80), "TIFF", compression="tiff_adobe_deflate")
    assert int.from_bytes(data[4:8], "little") > HEAD_BYTES
    window, reads = windowed(data)
    assert peek(window) == peek(data) == Facts(Format.TIFF, False, (300, 300))
    assert 0 < sum(size for _, size in reads) <= 4_096


def test_transparency_is_found_after_a_large_profile():
    data = png(4, 4, chunk(b"iCCP", bytes(100_000)) + chunk(b"tRNS", bytes(6)))
    window, reads = windowed(data)
    assert peek(window) == Facts(Format.PNG, True, (4, 4))
    assert sum(size for _, size in reads) <= 8_192


def test_header_in_the_first_bytes_needs_no_other_read():
    noise = Image.effect_noise((600, 600), 80)
    for kind, options in (("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("BMP", {}), ("GIF", {})):
        data = saved(noise, kind, **options)
        assert len(data) > HEAD_BYTES
        window, reads = windowed(data)
        assert peek(window).size == (600, 600)
        assert not reads


def test_peek_stops_early_in_a_gif_of_tiny_blocks():
    """2 MB of comments in blocks of one byte would take a million steps, which delay the event loop."""
    comment = b"!\xfe" + b"\1a" * 1_020 + b"\0"
    window, reads = windowed(b"GIF89a" + bytes((10, 0, 10, 0, 0, 0, 0)) + comment * 1_024)
    assert peek(window) == Facts(Format.GIF, False, None)
    assert sum(size for _, size in reads) <= 16_384


def test_transparency_of_a_gif_is_found_after_a_long_comment():
    data = saved(ALPHA, "GIF")
    at = data.index(b"!\xf9")
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * 1_000 + b"\0"
    assert peek(data[:at] + comment + data[at:]).alpha


magics = st.sampled_from(
    [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBPVP8X",
        b"II*\0",
        b"MM\0+",
        b"\0\0\0\x20ftypavif",
    ]
)


@given(magics, st.binary(max_size=300))
def test_peek_accepts_any_bytes_after_any_signature(magic, tail):
    assert isinstance(peek(magic + tail), Facts)
    assert peek(windowed(magic + tail)[0]) == peek(magic + tail)


def test_every_format_has_a_container_and_readers_are_for_formats_with_one():
    assert set(CONTAINERS) == set(Format)
    assert set(READERS) <= set(CONTAINERS)
