"""What is admitted as a picture, and what is left of one whose metadata is taken away."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops, ImageCms, MpoImagePlugin, PngImagePlugin

from service.errors import Unrenderable, UnsupportedUpload
from service.formats import Format
from service.imaging.admission import admit
from service.imaging.order import Encoding, Limits
from service.imaging.stripping import stripped
from tests.pictures_in_code import animation, film, large, png, quarters, rendered, saved, shown

SECRET = b"59.3293 N 18.0686 E"
LIMITS = Limits()
KINDS = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "BMP"]


def lying(turn: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = turn, SECRET.decode()
    return exif


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_picture_is_admitted_as_it_is(kind: str) -> None:
    assert admit(saved(quarters(), kind), LIMITS) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "BMP"])
def test_one_that_is_cut_short_is_not(kind: str) -> None:
    data = saved(large(300, 200), kind)
    with pytest.raises(Unrenderable):
        admit(data[: len(data) * 2 // 3], LIMITS)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_a_film_must_be_whole_to_its_last_frame(kind: str) -> None:
    data = animation(kind, frames=6)
    assert admit(data, LIMITS) is None
    with pytest.raises(Unrenderable):
        admit(data[: len(data) * 4 // 5], LIMITS)


@pytest.mark.parametrize("data", [b"", b"text", b"<svg/>", b"%PDF-1.7", b"\x00" * 100])
def test_what_is_no_picture_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedUpload):
        admit(data, LIMITS)


def test_a_bomb_is_refused_from_its_header() -> None:
    with pytest.raises(Unrenderable):
        admit(png(30_000, 30_000, pixels=b""), LIMITS)


def with_secrets(kind: str) -> bytes:
    image = quarters(40, 30)
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", SECRET.decode())
        info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
        return saved(image, kind, exif=lying(), pnginfo=info, icc_profile=profile())
    if kind == "JPEG":
        return saved(image, kind, exif=lying(), comment=SECRET, xmp=SECRET, icc_profile=profile(), quality=95) + SECRET
    if kind == "WEBP":
        return saved(image, kind, exif=lying(), xmp=SECRET, icc_profile=profile(), lossless=True)
    if kind == "GIF":
        return saved(image, kind, comment=SECRET)
    return saved(image, kind, exif=lying(), icc_profile=profile())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_metadata_goes_and_not_a_bit_of_the_pixels(kind: str) -> None:
    data = with_secrets(kind)
    assert SECRET in data
    clean = stripped(data, Format[kind], LIMITS, Encoding())
    assert SECRET not in clean
    before, after = shown(data), shown(clean)
    assert ImageChops.difference(before.convert("RGBA"), after.convert("RGBA")).getbbox() is None
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert (kind == "GIF") == (after.info.get("icc_profile") is None)
    small, also = (shown(rendered(each, "PNG", 20).data) for each in (data, clean))
    assert ImageChops.difference(small, also).getbbox() is None
    assert stripped(clean, Format[kind], LIMITS, Encoding()) == clean


@pytest.mark.parametrize("kind", ["AVIF", "TIFF"])
def test_what_must_be_encoded_anew_stands_as_it_stood(kind: str) -> None:
    data = with_secrets(kind)
    assert SECRET in data
    clean = stripped(data, Format[kind], LIMITS, Encoding())
    assert SECRET not in clean
    assert shown(clean).format == kind
    assert shown(rendered(clean, "PNG").data).size == shown(rendered(data, "PNG").data).size


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_way_up_is_kept(kind: str, turn: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = saved(quarters(40, 30), kind, exif=lying(turn), **options)
    clean = stripped(data, Format[kind], LIMITS, Encoding())
    assert SECRET not in clean
    one, other = (shown(rendered(each, "PNG").data) for each in (data, clean))
    assert one.size == other.size == ((40, 30) if turn < 5 else (30, 40))
    assert ImageChops.difference(one, other).getbbox() is None


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_films_still_move(kind: str) -> None:
    data = animation(kind, frames=5)
    clean = stripped(data, Format[kind], LIMITS, Encoding())
    assert [(image.tobytes(), time) for image, time in film(clean)] == [
        (image.tobytes(), time) for image, time in film(data)
    ]
    assert Image.open(io.BytesIO(clean)).info.get("loop") == Image.open(io.BytesIO(data)).info.get("loop")


def test_of_a_picture_with_more_behind_it_the_first_is_kept() -> None:
    assert MpoImagePlugin.MpoImageFile.format == "MPO"  # its import is what lets Pillow write them
    data = saved(quarters(), "MPO", save_all=True, append_images=[large(64, 48)])
    clean = stripped(data, Format.JPEG, LIMITS, Encoding())
    assert len(clean) < len(data) * 2 / 3
    assert shown(clean).format == "JPEG"
    assert ImageChops.difference(shown(data), shown(clean)).getbbox() is None


def test_progressive_and_cmyk_jpegs_keep_all_their_scans_and_their_inks() -> None:
    for data in (
        saved(large(200, 150), "JPEG", progressive=True, exif=lying(3)),
        saved(quarters(mode="CMYK"), "JPEG", exif=lying(3)),
        saved(large(200, 150), "JPEG", restart_marker_blocks=2, exif=lying(3)),
    ):
        clean = stripped(data, Format.JPEG, LIMITS, Encoding())
        assert shown(clean).tobytes() == shown(data).tobytes()


def test_what_cannot_be_kept_whole_is_refused() -> None:
    data = animation("AVIF", frames=6)
    with pytest.raises(Unrenderable):
        stripped(data, Format.AVIF, Limits(max_frames=3), Encoding())


def test_bytes_that_no_reader_minds_cost_a_gif_no_frame() -> None:
    data = animation("GIF", frames=3)
    at = data.index(b"\x21\xf9", data.index(b"\x2c"))
    stray = data[:at] + b"\0\0\0" + data[at:]
    assert len(film(stripped(stray, Format.GIF, LIMITS, Encoding()))) == len(film(stray)) == 3
