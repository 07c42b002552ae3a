"""Orientation: in every format and every place of its EXIF, for stills and animations (docs/contract.md, section 3)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from service.formats import Fit
from tests.conftest import examples
from tests.pixels import corners, frames_of, near, rendered, shown
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, quarters, saved
from tools.pictures.exif import exif_block, pngs_with_exif, stored
from tools.pictures.png import chunk

XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'


def assert_upright(data: bytes, within: int = 40) -> None:
    for fit, size in ((Fit.CONTAIN, (80, 60)), (Fit.COVER, (60, 60)), (Fit.PAD, (80, 80)), (Fit.FILL, (50, 60))):
        made = shown(rendered(data, "PNG", *(size if fit is not Fit.CONTAIN else (80, 80)), fit).data)
        assert made.size == size
        picture = made.crop((0, 10, 80, 70)) if fit is Fit.PAD else made
        assert all(
            near(got, want, within) for got, want in zip(corners(picture), (RED, GREEN, BLUE, YELLOW), strict=True)
        )


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_every_orientation_is_upright_in_every_format_and_fit(kind, turn):
    assert_upright(saved(stored(turn), kind, exif=exif_block(turn)))


@pytest.mark.parametrize("turn", [2, 6, 7])
@pytest.mark.parametrize("place", pngs_with_exif(1))
def test_orientation_is_read_from_every_place_in_a_png(place, turn):
    assert_upright(pngs_with_exif(turn)[place])


@pytest.mark.parametrize("turn", [3, 5, 8])
def test_large_jpeg_is_shrunk_and_then_turned(turn):
    assert_upright(saved(stored(turn, quarters(1600, 1200)), "JPEG", exif=exif_block(turn)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_in_xmp_is_ignored(kind):
    more = {"tiffinfo": {700: XMP}} if kind == "TIFF" else {"xmp": XMP}
    data = saved(quarters(160, 120), kind, **({} if kind == "PNG" else more))
    if kind == "PNG":
        at = data.index(b"IDAT") - 4
        data = data[:at] + chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP) + data[at:]
    assert_upright(data)


def test_rotation_of_an_avif_wins_over_its_exif():
    """libavif and browsers do the same (HEIF, ISO/IEC 23008-12, 6.5.10)."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = 6  # becomes the rotation of the AVIF
    block[ExifTags.Base.YCbCrPositioning] = 3  # becomes an EXIF orientation
    data = saved(stored(6), "AVIF", exif=block.tobytes(), quality=90)
    entries = [struct.pack(f"{order}HHI", 0x0213, 3, 1) for order in "<>"]
    patched = data
    for order, entry in zip("<>", entries, strict=True):
        patched = patched.replace(entry, struct.pack(f"{order}HHI", 0x0112, 3, 1))
    assert patched != data and b"irot" in patched
    assert_upright(patched)


@pytest.mark.parametrize("source", ["WEBP", "PNG"])
@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations_are_turned(source, kind):
    frames = [stored(6), stored(6, quarters(160, 120).rotate(180))]
    data = saved(frames[0], source, save_all=True, append_images=frames[1:], duration=100, exif=exif_block(6))
    made = frames_of(rendered(data, kind, 80, 80, Fit.CONTAIN).data)
    for (frame, _), colours in zip(made, ((RED, GREEN, BLUE, YELLOW), (YELLOW, BLUE, GREEN, RED)), strict=True):
        assert frame.size == (80, 60)
        assert all(near(got, want, 40) for got, want in zip(corners(frame), colours, strict=True))


@examples(150)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP"]),
    st.lists(st.tuples(st.integers(6, 60), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(1, 200),
)
def test_picture_with_damaged_exif_is_rendered(kind, changes, length):
    block = Image.Exif()
    block.update({ExifTags.Base.Orientation: 6, ExifTags.Base.Make: "a camera"})
    block.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    damaged = bytearray(block.tobytes())
    for at, value in changes:
        damaged[at % len(damaged)] = value
    data = saved(quarters(16, 12), kind, exif=bytes(damaged[: max(8, length)]))
    assert sorted(shown(rendered(data, "PNG").data).size) == [12, 16]
