"""Stills: size, orientation, colour, transparency, and renditions without metadata."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys

import pytest
from PIL import ExifTags, Image, ImageCms, MpoImagePlugin, PngImagePlugin

from service.errors import BadParameter, Unrenderable
from service.formats import WRITABLE, Fit, Format
from service.imaging.order import Limits, Order
from service.imaging.pixels.orientation import stored_box
from service.imaging.render import render
from service.imaging.versions import encoder_versions
from tests.pixels import corners, near, rendered, shown
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, quarters, saved
from tools.pictures.exif import exif_block, stored
from tools.pictures.png import chunk, png

WHITE = (255, 255, 255)
RENDER_WITHOUT_HEIF = """
import sys
sys.modules["pillow_heif"] = None
from service.errors import Unrenderable
from service.imaging.drawing.placeholders import draw
from service.imaging.order import Order
from service.imaging.render import render
from service.formats import Format
from service.imaging.order import Placeholder
from service.formats import IfBlank
assert draw(Placeholder(IfBlank.DEFAULT, 8, 8, Format.PNG))
try:
    render(sys.stdin.buffer.read(), Order(Format.PNG))
except Unrenderable as error:
    print(error)
"""
assert MpoImagePlugin  # writes an MPO; the service reads it as the JPEG at its beginning


def assert_quarters(image: Image.Image, within: int = 30) -> None:
    assert all(near(got, want, within) for got, want in zip(corners(image), (RED, GREEN, BLUE, YELLOW), strict=True))


@pytest.mark.parametrize("source", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF", "BMP"])
@pytest.mark.parametrize("kind", [each.name for each in WRITABLE])
def test_every_format_is_rendered_from_every_other(source, kind):
    made = rendered(saved(quarters(160, 120), source), kind, 40)
    image = shown(made.data)
    assert (made.width, made.height, made.frames, made.first_frame) == (40, 30, 1, False)
    assert (image.format, image.size) == (kind, (40, 30))
    assert_quarters(image)


@pytest.mark.parametrize(
    ("fit", "size"), [(Fit.CONTAIN, (50, 38)), (Fit.COVER, (50, 50)), (Fit.FILL, (50, 50)), (Fit.PAD, (50, 50))]
)
def test_fit_gives_the_size_and_keeps_the_quarters(fit, size):
    image = shown(rendered(saved(quarters(160, 120), "PNG"), "PNG", 50, 50, fit).data)
    assert image.size == size
    assert_quarters(image)
    if fit is Fit.PAD:
        assert image.getpixel((25, 1)) == WHITE == image.getpixel((25, 48))


def test_small_original_is_enlarged_unless_enlarge_is_false():
    data = saved(quarters(8, 6), "PNG")
    assert shown(rendered(data, "PNG", 400).data).size == (400, 300)
    assert shown(rendered(data, "PNG", 400, limits=Limits(enlarge=False)).data).size == (8, 6)


def test_cover_shows_the_middle():
    image = Image.new("RGB", (300, 100), RED)
    image.paste(GREEN, (100, 0, 200, 100))
    made = shown(rendered(saved(image, "PNG"), "PNG", 50, 50, Fit.COVER).data)
    assert near(made.getpixel((2, 25)), GREEN) and near(made.getpixel((47, 25)), GREEN)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied_and_not_written(kind, turn):
    made = shown(rendered(saved(stored(turn), kind, exif=exif_block(turn)), "PNG", 80).data)
    assert made.size == (80, 60)
    assert_quarters(made)
    assert dict(made.getexif()) == {}


@pytest.mark.parametrize("turn", range(1, 9))
def test_cover_crops_the_upright_picture(turn):
    image = Image.new("RGB", (320, 160), RED)
    image.paste(GREEN, (80, 0, 240, 160))
    image.paste(BLUE, (80, 0, 240, 40))
    data = saved(stored(turn, image), "JPEG", exif=exif_block(turn), quality=95)
    made = shown(rendered(data, "PNG", 40, 40, Fit.COVER).data)
    assert near(made.getpixel((3, 30)), GREEN, 30) and near(made.getpixel((36, 30)), GREEN, 30)
    assert near(made.getpixel((20, 3)), BLUE, 30)


def test_box_on_upright_picture_is_found_on_stored_one():
    assert stored_box((1, 2, 3, 5), (40, 30), 1) == (1, 2, 3, 5)
    assert stored_box((1, 2, 3, 5), (40, 30), 3) == (37, 25, 39, 28)
    assert stored_box((1, 2, 3, 5), (40, 30), 6) == (2, 27, 5, 29)


def test_broken_exif_is_ignored():
    assert_quarters(shown(rendered(saved(quarters(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), "PNG").data))


@pytest.mark.parametrize("kind", [each.name for each in WRITABLE])
def test_rendition_has_no_metadata(kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SecretCamera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N-Secret"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "Secret comment")
    for data in (
        saved(
            quarters(),
            "JPEG",
            exif=exif,
            comment="Secret comment",
            icc_profile=profile,
            xmp=b"Secret xmp",
            dpi=(77, 77),
        ),
        saved(quarters(), "PNG", exif=exif, pnginfo=text, icc_profile=profile),
        saved(quarters(), "WEBP", exif=exif, xmp=b"Secret xmp", icc_profile=profile),
        saved(quarters(), "GIF", comment="Secret comment"),
    ):
        for width in (None, 30):
            made = rendered(data, kind, width).data
            assert b"Secret" not in made
            info = shown(made).info
            assert not {"exif", "xmp", "icc_profile", "comment", "photoshop"} & info.keys()


def test_16_bit_grey_is_scaled_to_8():
    wide = Image.new("I;16", (4, 4), 0x8000)
    for data in (saved(wide, "PNG"), saved(wide, "TIFF"), saved(Image.new("I;16B", (4, 4), 0x8000), "TIFF")):
        assert shown(rendered(data, "PNG").data).convert("L").getpixel((1, 1)) == 0x80


def test_transparent_value_of_16_bit_grey():
    pixels = b"\0" + b"\x12\x34" + b"\x56\x78"
    made = shown(rendered(png(2, 1, chunk(b"tRNS", b"\x12\x34"), colour=0, depth=16, pixels=pixels), "PNG").data)
    assert [made.getpixel((x, 0))[-1] for x in (0, 1)] == [0, 255]


@pytest.mark.parametrize(("depth", "packed", "key"), [(1, 0b01000000, 1), (2, 0b00110000, 3), (4, 0x0F, 15)])
def test_transparent_value_of_grey_below_8_bits(depth, packed, key):
    data = png(2, 1, chunk(b"tRNS", bytes((0, key))), colour=0, depth=depth, pixels=bytes((0, packed)))
    made = shown(rendered(data, "PNG").data).convert("RGBA")
    assert [made.getpixel((x, 0))[3] for x in (0, 1)] == [255, 0]


def test_transparent_colour_of_rgb():
    pixels = b"\0" + bytes(RED) + bytes(GREEN)
    key = b"".join(part.to_bytes(2, "big") for part in GREEN)
    made = shown(rendered(png(2, 1, chunk(b"tRNS", key), pixels=pixels), "PNG").data)
    assert made.getpixel((0, 0)) == (*RED, 255) and made.getpixel((1, 0))[3] == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_png_of_every_mode_is_rendered(mode):
    image = Image.new("L", (40, 40), 255)
    image.paste(0, (0, 0, 20, 40))
    made = shown(rendered(saved(image.convert(mode), "PNG"), "JPEG", 20).data).convert("L")
    assert made.getpixel((3, 10)) < 12 and made.getpixel((16, 10)) > 243


def test_format_without_alpha_gets_a_white_background():
    image = quarters(mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 40, 30))
    made = shown(rendered(saved(image, "PNG"), "JPEG", 40).data)
    assert near(made.getpixel((5, 5)), WHITE) and near(made.getpixel((35, 25)), YELLOW, 30)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF", "GIF"])
def test_format_with_alpha_keeps_transparency(kind):
    image = quarters(mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 40, 30))
    made = shown(rendered(saved(image, "PNG"), kind, 40).data).convert("RGBA")
    assert made.getpixel((5, 5))[3] <= 2
    assert made.getpixel((35, 25))[3] >= 253 and near(made.getpixel((35, 25))[:3], YELLOW, 30)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_opaque_alpha_is_dropped(kind):
    assert shown(rendered(saved(quarters(mode="RGBA"), "PNG"), kind, 40).data).mode == "RGB"


def test_colour_of_transparent_pixels_does_not_show_at_edges():
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))  # the transparent pixels are black
    image.paste((255, 255, 255, 255), (0, 0, 33, 64))
    made = shown(rendered(saved(image, "PNG"), "PNG", 16).data)
    assert all(made.getpixel((x, 8))[:3] == WHITE for x in range(16) if made.getpixel((x, 8))[3] > 8)


def test_cmyk_without_profile_has_the_colours_of_a_press():
    patches = {(0, 0, 0, 0): WHITE, (0, 255, 255, 0): (228, 31, 37), (255, 0, 0, 0): (0, 159, 227)}
    for inks, colour in patches.items():
        for kind in ("JPEG", "TIFF"):
            made = shown(rendered(saved(Image.new("CMYK", (16, 16), inks), kind), "PNG").data)
            assert near(made.getpixel((8, 8)), colour, 12), (inks, kind)


def test_profile_is_applied():
    """A profile whose red and blue are swapped makes red pixels blue."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    made = shown(rendered(saved(Image.new("RGB", (16, 16), RED), "PNG", icc_profile=bytes(profile)), "PNG").data)
    assert near(made.getpixel((8, 8)), (RED[2], RED[1], RED[0]), 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("start", [b"", b"\0" * 16 + b"RGB ", b"\0" * 16 + b"CMYK", b"\0" * 16 + b"GRAY"])
def test_broken_profile_is_ignored(mode, start):
    image = quarters(mode=mode)
    with_, without = saved(image, "JPEG", icc_profile=start.ljust(300, b"x")), saved(image, "JPEG")
    assert rendered(with_, "PNG", 40).data == rendered(without, "PNG", 40).data


def test_lab_is_converted_to_rgb():
    lab = Image.new("LAB", (8, 8), (136, 80, 195))
    grey = Image.new("LAB", (8, 8), (128, 128, 128))
    assert near(shown(rendered(saved(grey, "TIFF"), "PNG").data).convert("RGB").getpixel((4, 4)), (119, 119, 119), 4)
    red, green, _ = shown(rendered(saved(lab, "TIFF"), "PNG").data).getpixel((4, 4))
    assert red < green  # a = -48


def test_shrink_on_load_is_close_to_a_full_decode():
    image = Image.radial_gradient("L").resize((1600, 1200)).convert("RGB")
    data = saved(image, "JPEG", quality=95)
    made = shown(rendered(data, "PNG", 100).data).convert("L")
    full = shown(data).convert("L").resize((100, 75), Image.Resampling.LANCZOS)
    apart = [abs(a - b) for a, b in zip(made.tobytes(), full.tobytes(), strict=True)]
    assert max(apart) <= 6 and sum(apart) / len(apart) < 1


def test_original_with_palette_gives_rendition_with_palette():
    data = saved(quarters(mode="P"), "PNG")
    assert shown(rendered(data, "PNG", 40).data).mode == "P"
    assert shown(rendered(saved(quarters(), "PNG"), "PNG", 40).data).mode == "RGB"


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_colours_that_fit_a_palette_are_kept_exactly(kind):
    image = Image.new("RGB", (16, 15))
    image.putdata([(x * 16, y * 17, 255 - x * y) for y in range(15) for x in range(16)])
    data = saved(image.quantize(256), "PNG")
    assert shown(rendered(data, kind).data).convert("RGB").tobytes() == shown(data).convert("RGB").tobytes()


def test_gif_of_many_colours_has_the_mean_colours_of_the_original():
    image = Image.radial_gradient("L").resize((120, 120))
    image = Image.merge(
        "RGB", (image, image.transpose(Image.Transpose.ROTATE_90), Image.linear_gradient("L").resize((120, 120)))
    )
    made = shown(rendered(saved(image, "PNG"), "GIF").data).convert("RGB")
    means = [picture.resize((6, 6), Image.Resampling.BOX).tobytes() for picture in (made, image)]
    assert near(*means, 4)


def test_photograph_as_png_is_exact_and_no_larger_than_with_full_compression():
    noise = Image.effect_noise((200, 200), 60)
    photograph = Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180)))
    made = rendered(saved(photograph, "PNG"), "PNG")
    assert len(made.data) <= 1.05 * len(saved(photograph, "PNG", compress_level=6))
    assert shown(made.data).tobytes() == photograph.tobytes()


def test_limit_is_named_in_the_error():
    data = saved(quarters(100, 100), "PNG")
    with pytest.raises(Unrenderable, match=r"100x100 pixels; no more than 9999"):
        rendered(data, limits=Limits(max_pixels=9999))
    with pytest.raises(BadParameter, match="100x20000"):
        rendered(saved(Image.new("L", (1, 200)), "PNG"), "PNG", 100)


def test_tiff_and_mpo_are_rendered_from_their_first_picture():
    pages = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN)]
    for kind in ("TIFF", "MPO"):
        made = rendered(saved(pages[0], kind, save_all=True, append_images=pages[1:]), "GIF", 10)
        assert (made.frames, made.first_frame) == (1, False)
        assert near(shown(made.data).convert("RGB").getpixel((5, 5)), RED, 20)


def test_orders_errors_and_renditions_can_be_pickled():
    order = Order(Format.WEBP, 10, None, Fit.PAD, Limits(enlarge=False))
    assert pickle.loads(pickle.dumps(order)) == order
    with pytest.raises(Unrenderable) as caught:
        render(b"nothing", order)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    made = rendered(saved(quarters(), "PNG"))
    assert pickle.loads(pickle.dumps(made)) == made


def test_encoder_versions_name_the_codecs():
    versions = dict(part.split("=") for part in encoder_versions().split())
    assert {"pil", "webp", "avif", "libjpeg_turbo", "littlecms2"} <= versions.keys()
    assert "none" not in (versions["pil"], versions["webp"], versions["avif"])


def test_still_is_the_same_bytes_every_time():
    data = io.BytesIO(saved(quarters(300, 200), "JPEG")).getvalue()
    for kind in WRITABLE:
        assert rendered(data, kind.name, 64) == rendered(data, kind.name, 64)


def test_without_its_library_only_heic_is_refused():
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    run = subprocess.run(
        [sys.executable, "-c", RENDER_WITHOUT_HEIF], input=head, capture_output=True, check=True, timeout=30
    )
    assert run.stdout.decode().strip() == "HEIC pictures cannot be read here."
