"""The check of uploads, and uploads without their metadata."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops, ImageCms, MpoImagePlugin, PngImagePlugin

from service.errors import Unrenderable, UnsupportedUpload
from service.formats import Format
from service.imaging.admission import admit
from service.imaging.order import Encoding, Limits
from service.imaging.stripping import stripped
from tests.pixels import frames_of, rendered, shown
from tools.pictures.drawing import animation, large, quarters, saved
from tools.pictures.png import png

SECRET = b"59.3293 N 18.0686 E"
LIMITS = Limits()
KINDS = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "BMP"]


def turned_exif(turn: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = turn, SECRET.decode()
    return exif


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_sound_upload_is_admitted_unchanged(kind: str) -> None:
    assert admit(saved(quarters(), kind), LIMITS) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "BMP"])
def test_truncated_upload_is_refused(kind: str) -> None:
    data = saved(large(300, 200), kind)
    with pytest.raises(Unrenderable):
        admit(data[: len(data) * 2 // 3], LIMITS)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_animation_with_a_broken_last_frame_is_refused(kind: str) -> None:
    data = animation(kind, frames=6)
    assert admit(data, LIMITS) is None
    with pytest.raises(Unrenderable):
        admit(data[: len(data) * 4 // 5], LIMITS)


@pytest.mark.parametrize("data", [b"", b"text", b"<svg/>", b"%PDF-1.7", b"\x00" * 100])
def test_upload_that_is_no_picture_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedUpload):
        admit(data, LIMITS)


def test_upload_with_too_many_pixels_is_refused_by_its_header() -> None:
    with pytest.raises(Unrenderable):
        admit(png(30_000, 30_000, pixels=b""), LIMITS)


def with_secrets(kind: str) -> bytes:
    image = quarters(40, 30)
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", SECRET.decode())
        info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
        return saved(image, kind, exif=turned_exif(), pnginfo=info, icc_profile=profile())
    if kind == "JPEG":
        return (
            saved(image, kind, exif=turned_exif(), comment=SECRET, xmp=SECRET, icc_profile=profile(), quality=95)
            + SECRET
        )
    if kind == "WEBP":
        return saved(image, kind, exif=turned_exif(), xmp=SECRET, icc_profile=profile(), lossless=True)
    if kind == "GIF":
        return saved(image, kind, comment=SECRET)
    return saved(image, kind, exif=turned_exif(), icc_profile=profile())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_stripping_removes_metadata_and_keeps_every_bit_of_the_pixels(kind: str) -> None:
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
def test_re_encoded_upload_keeps_its_orientation(kind: str) -> None:
    data = with_secrets(kind)
    assert SECRET in data
    clean = stripped(data, Format[kind], LIMITS, Encoding())
    assert SECRET not in clean
    assert shown(clean).format == kind
    assert shown(rendered(clean, "PNG").data).size == shown(rendered(data, "PNG").data).size


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_stripping_keeps_every_orientation(kind: str, turn: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = saved(quarters(40, 30), kind, exif=turned_exif(turn), **options)
    clean = stripped(data, Format[kind], LIMITS, Encoding())
    assert SECRET not in clean
    one, other = (shown(rendered(each, "PNG").data) for each in (data, clean))
    assert one.size == other.size == ((40, 30) if turn < 5 else (30, 40))
    assert ImageChops.difference(one, other).getbbox() is None


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_stripping_keeps_animations(kind: str) -> None:
    data = animation(kind, frames=5)
    clean = stripped(data, Format[kind], LIMITS, Encoding())
    assert [(image.tobytes(), time) for image, time in frames_of(clean)] == [
        (image.tobytes(), time) for image, time in frames_of(data)
    ]
    assert Image.open(io.BytesIO(clean)).info.get("loop") == Image.open(io.BytesIO(data)).info.get("loop")


def test_stripping_keeps_the_first_picture_of_an_mpo() -> None:
    assert MpoImagePlugin.MpoImageFile.format == "MPO"  # the import registers the writer with Pillow
    data = saved(quarters(), "MPO", save_all=True, append_images=[large(64, 48)])
    clean = stripped(data, Format.JPEG, LIMITS, Encoding())
    assert len(clean) < len(data) * 2 / 3
    assert shown(clean).format == "JPEG"
    assert ImageChops.difference(shown(data), shown(clean)).getbbox() is None


def test_stripping_keeps_progressive_scans_and_inks() -> None:
    for data in (
        saved(large(200, 150), "JPEG", progressive=True, exif=turned_exif(3)),
        saved(quarters(mode="CMYK"), "JPEG", exif=turned_exif(3)),
        saved(large(200, 150), "JPEG", restart_marker_blocks=2, exif=turned_exif(3)),
    ):
        clean = stripped(data, Format.JPEG, LIMITS, Encoding())
        assert shown(clean).tobytes() == shown(data).tobytes()


def test_upload_that_cannot_be_re_encoded_completely_is_refused() -> None:
    data = animation("AVIF", frames=6)
    with pytest.raises(Unrenderable):
        stripped(data, Format.AVIF, Limits(max_frames=3), Encoding())


def test_stripping_keeps_gif_frames_after_stray_bytes() -> None:
    data = animation("GIF", frames=3)
    at = data.index(b"\x21\xf9", data.index(b"\x2c"))
    stray = data[:at] + b"\0\0\0" + data[at:]
    assert len(frames_of(stripped(stray, Format.GIF, LIMITS, Encoding()))) == len(frames_of(stray)) == 3
