"""Which way up: wherever a format can say it, whatever else says otherwise, on stills and on moving pictures."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from service.formats import Fit
from tests.conftest import examples
from tests.pictures_in_code import BLUE, GREEN, RED, YELLOW, chunk, film, near, quarters, rendered, saved, shown

AWAY = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""How a picture is turned away from upright (`Image.Transpose`), that this orientation turns back."""
XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'


def stored(turn: int, image: Image.Image | None = None) -> Image.Image:
    image = image or quarters(160, 120)
    method = AWAY[turn]
    return image if method is None else image.transpose(Image.Transpose(method))


def exif(turn: int) -> bytes:
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = turn
    return block.tobytes()


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    across, down = image.size
    rgb = image.convert("RGB")
    return [rgb.getpixel((x, y)) for y in (down // 4, down * 3 // 4) for x in (across // 4, across * 3 // 4)]


def assert_upright(data: bytes, within: int = 40) -> None:
    for fit, size in ((Fit.CONTAIN, (80, 60)), (Fit.COVER, (60, 60)), (Fit.PAD, (80, 80)), (Fit.FILL, (50, 60))):
        made = shown(rendered(data, "PNG", *(size if fit is not Fit.CONTAIN else (80, 80)), fit).data)
        assert made.size == size
        seen = made.crop((0, 10, 80, 70)) if fit is Fit.PAD else made
        assert all(near(got, want, within) for got, want in zip(corners(seen), (RED, GREEN, BLUE, YELLOW), strict=True))


def as_ever(turn: int) -> dict[str, bytes]:
    """Where ImageMagick put EXIF into a PNG before there was a chunk for it, and where the chunk may stand."""
    image, block = saved(stored(turn), "PNG"), exif(turn)
    start, end = image.index(b"IDAT") - 4, image.rindex(b"IEND") - 4
    lines = "\n".join(block.hex()[at : at + 72] for at in range(0, len(block.hex()), 72))
    text = f"\nexif\n{len(block):8}\n{lines}\n".encode()
    tiff = block.removeprefix(b"Exif\0\0")
    chunks = {
        "before": (start, chunk(b"eXIf", tiff)),
        "after": (end, chunk(b"eXIf", tiff)),
        "with a needless prefix": (start, chunk(b"eXIf", block)),
        "text": (end, chunk(b"tEXt", b"Raw profile type exif\0" + text)),
        "packed text": (start, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))),
    }
    return {name: image[:at] + more + image[at:] for name, (at, more) in chunks.items()}


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_every_format_every_turn_every_fit(kind, turn):
    assert_upright(saved(stored(turn), kind, exif=exif(turn)))


@pytest.mark.parametrize("turn", [2, 6, 7])
@pytest.mark.parametrize("place", as_ever(1))
def test_wherever_a_png_says_it(place, turn):
    assert_upright(as_ever(turn)[place])


@pytest.mark.parametrize("turn", [3, 5, 8])
def test_a_large_jpeg_is_shrunk_and_then_turned(turn):
    assert_upright(saved(stored(turn, quarters(1600, 1200)), "JPEG", exif=exif(turn)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_what_xmp_says_does_not_count(kind):
    more = {"tiffinfo": {700: XMP}} if kind == "TIFF" else {"xmp": XMP}
    data = saved(quarters(160, 120), kind, **({} if kind == "PNG" else more))
    if kind == "PNG":
        at = data.index(b"IDAT") - 4
        data = data[:at] + chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP) + data[at:]
    assert_upright(data)


def test_an_avifs_own_turn_wins_over_its_exif():
    """As libavif and browsers have it (HEIF, ISO/IEC 23008-12, 6.5.10); the EXIF is there for other readers."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = 6  # becomes the picture's own turn
    block[ExifTags.Base.YCbCrPositioning] = 3  # becomes an orientation of EXIF
    data = saved(stored(6), "AVIF", exif=block.tobytes(), quality=90)
    entries = [struct.pack(f"{order}HHI", 0x0213, 3, 1) for order in "<>"]
    patched = data
    for order, entry in zip("<>", entries, strict=True):
        patched = patched.replace(entry, struct.pack(f"{order}HHI", 0x0112, 3, 1))
    assert patched != data and b"irot" in patched
    assert_upright(patched)


@pytest.mark.parametrize("source", ["WEBP", "PNG"])
@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_moving_pictures_are_turned_too(source, kind):
    frames = [stored(6), stored(6, quarters(160, 120).rotate(180))]
    data = saved(frames[0], source, save_all=True, append_images=frames[1:], duration=100, exif=exif(6))
    made = film(rendered(data, kind, 80, 80, Fit.CONTAIN).data)
    for (frame, _), colours in zip(made, ((RED, GREEN, BLUE, YELLOW), (YELLOW, BLUE, GREEN, RED)), strict=True):
        assert frame.size == (80, 60)
        assert all(near(got, want, 40) for got, want in zip(corners(frame), colours, strict=True))


@examples(150)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP"]),
    st.lists(st.tuples(st.integers(6, 60), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(1, 200),
)
def test_a_damaged_exif_block_never_costs_the_picture(kind, changes, length):
    block = Image.Exif()
    block.update({ExifTags.Base.Orientation: 6, ExifTags.Base.Make: "somebody"})
    block.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    damaged = bytearray(block.tobytes())
    for at, value in changes:
        damaged[at % len(damaged)] = value
    data = saved(quarters(16, 12), kind, exif=bytes(damaged[: max(8, length)]))
    assert sorted(shown(rendered(data, "PNG").data).size) == [12, 16]
