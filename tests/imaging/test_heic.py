"""HEIC originals, if pillow-heif is installed. `test_render` covers an installation without it."""

from __future__ import annotations

import io
import sys

import pytest
from PIL import Image, ImageCms

from service.errors import Unrenderable
from service.formats import WRITABLE, Fit, Format
from service.imaging.containers.peek import peek
from service.imaging.order import Limits
from service.imaging.reading.avif import AvifFile
from service.imaging.reading.readers import opened
from tests.pixels import near, rendered, shown
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, quarters

heif = pytest.importorskip("pillow_heif")


def heic(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    heif.from_pillow(image).save(file, quality=90, **options)
    return file.getvalue()


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    across, down = image.size
    rgb = image.convert("RGB")
    return [rgb.getpixel((x, y)) for y in (down // 4, down * 3 // 4) for x in (across // 4, across * 3 // 4)]


@pytest.mark.parametrize("kind", [each.name for each in WRITABLE])
def test_heic_becomes_every_format(kind):
    made = rendered(heic(quarters(160, 120)), kind, 40)
    image = shown(made.data)
    assert (image.format, image.size) == (kind, (40, 30))
    assert all(near(got, want, 30) for got, want in zip(corners(image), (RED, GREEN, BLUE, YELLOW), strict=True))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("fit", [Fit.CONTAIN, Fit.COVER])
def test_heic_is_turned_upright_once(turn, fit):
    """Phones write the orientation twice: as EXIF, and as a property of the picture. Only the property counts."""
    exif = Image.Exif()
    exif[0x0112] = turn
    methods = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition from the upright picture to the stored one
    image = quarters(160, 120)
    stored = image.transpose(Image.Transpose(methods[turn])) if turn > 1 else image
    made = shown(rendered(heic(stored, exif=exif.tobytes()), "PNG", 80, 60, fit).data)
    assert made.size == (80, 60)
    assert all(near(got, want, 30) for got, want in zip(corners(made), (RED, GREEN, BLUE, YELLOW), strict=True))
    assert dict(made.getexif()) == {}


def test_alpha_of_a_heic_is_in_its_header_and_its_renditions():
    image = quarters(160, 120, "RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 80, 60))
    data = heic(image)
    assert peek(data).alpha and not peek(heic(quarters())).alpha
    made = shown(rendered(data, "PNG", 80).data)
    assert made.getpixel((10, 10))[3] == 0 and made.getpixel((70, 50))[3] == 255
    assert near(shown(rendered(data, "JPEG", 80).data).getpixel((10, 10)), (255, 255, 255))


def test_heic_of_ten_bits_is_scaled_to_eight():
    steps = b"".join(int(65_535 * x / 159).to_bytes(2, sys.byteorder) * 3 for x in range(160))
    file = io.BytesIO()
    heif.from_bytes(mode="RGB;16", size=(160, 120), data=steps * 120).save(file, quality=90)
    made = shown(rendered(file.getvalue(), "PNG").data)
    assert all(abs(made.getpixel((x, 60))[1] - 255 * x // 159) <= 2 for x in range(160))


def test_profile_of_a_heic_is_applied_and_not_kept():
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    image = Image.new("RGB", (64, 64), RED)
    image.info["icc_profile"] = bytes(profile)
    made = shown(rendered(heic(image), "PNG").data)
    assert near(made.getpixel((9, 9)), RED[::-1], 4) and "icc_profile" not in made.info


def test_size_of_a_heic_is_checked_before_decoding():
    data = heic(quarters(160, 120))
    with pytest.raises(Unrenderable, match="160x120 pixels"):
        rendered(data, limits=Limits(max_pixels=160 * 120 - 1))


def test_heic_is_decoded_by_one_thread():
    assert heif.options.DECODE_THREADS == 1


def test_cut_or_changed_heic_is_refused_or_rendered():
    data = heic(quarters(160, 120))
    for length in range(0, len(data), 31):
        with pytest.raises(Unrenderable):
            rendered(data[:length])
    for at in range(0, len(data), 5):
        try:
            rendered(data[:at] + bytes((data[at] ^ 0x55,)) + data[at + 1 :], "PNG", 20)
        except Unrenderable:
            pass


def test_heic_reader_opens_no_other_format():
    assert "HEIF" not in Image.OPEN and "HEIF" not in Image.SAVE
    avif = io.BytesIO()
    quarters().save(avif, "AVIF")
    assert peek(avif.getvalue()).format is Format.AVIF
    disguised = avif.getvalue().replace(b"avif", b"heic", 1).replace(b"avif", b"heic")
    with pytest.raises(Unrenderable):
        rendered(disguised)
    assert type(opened(avif.getvalue(), Format.AVIF, Limits())[0]) is AvifFile
