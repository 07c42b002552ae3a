"""The clean aperture of AVIF and HEIC, which is applied before rotation and mirror."""

from __future__ import annotations

import io
from functools import cache

import pytest
from PIL import Image

from service.errors import Unrenderable
from service.formats import Fit
from service.imaging.containers.peek import peek
from service.imaging.order import Limits
from service.imaging.source import Source
from tests.pixels import near, rendered, shown
from tools.pictures.drawing import BLUE, RED, large, saved, see_through
from tools.pictures.isobmff import (
    box,
    clap,
    cropped,
    heic_with,
    imir,
    irot,
    nclx,
    size_at,
    still,
    with_property,
)

SIZE = (80, 64)
WHOLE = (0, 0, *SIZE)


def squares() -> Image.Image:
    """Return 80 squares of 8x8 pixels in different colours."""
    image = Image.new("RGB", SIZE)
    for row in range(8):
        for column in range(10):
            image.paste((25 * column, 35 * row, 255 - 25 * column), (8 * column, 8 * row, 8 * column + 8, 8 * row + 8))
    return image


def same(one: Image.Image, other: Image.Image, within: int = 12) -> bool:
    """Return whether two pictures have the same size, and nearly the same colour in the middle of every square."""
    spots = [
        (x, y) for x in range(3, min(one.width, other.width), 8) for y in range(3, min(one.height, other.height), 8)
    ]
    return one.size == other.size and all(
        near(one.convert("RGB").getpixel(spot), other.convert("RGB").getpixel(spot), within) for spot in spots
    )


CROPS = [(0, 0, 40, 32), (16, 8, 56, 40), (1, 3, 62, 50), (40, 32, 80, 64), (79, 63, 80, 64), WHOLE]
ORIENTATIONS = [
    (),
    (irot(1),),
    (irot(2),),
    (irot(3),),
    (imir(0),),
    (imir(1),),
    (irot(1), imir(0)),
    (irot(3), imir(1)),
    (irot(2), imir(0)),
]


def turned(image: Image.Image, turn: tuple[bytes, ...]) -> Image.Image:
    """Return *image* after the rotation and mirror in *turn*."""
    for each in turn:
        if each[4:8] == b"irot":
            image = image.rotate(90 * each[8], expand=True)
        else:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT if each[8] else Image.Transpose.FLIP_TOP_BOTTOM)
    return image


UNUSABLE = {
    "no denominator": clap(40, 30, unit=0),
    "no denominator of a move": clap(40, 30, (1, 0)),
    "half a pixel wide": clap(81, 60, unit=2),
    "a fraction of a pixel to the right": clap(40, 30, (1, 3)),
    "half a pixel, for the sides differ by an odd number": clap(41, 30),
    "wider than the picture": clap(82, 30),
    "beyond the right edge": clap(40, 30, 21),
    "beyond the upper edge": clap(40, 30, 0, -18),
    "no width": clap(0, 30),
    "negative width": clap(2**32 - 40, 30),
    "far away": clap(40, 30, 2**31 - 1),
}


@pytest.mark.parametrize("turn", ORIENTATIONS)
@pytest.mark.parametrize("crop", CROPS)
def test_aperture_is_applied_before_rotation_and_mirror(crop, turn):
    image = squares()
    data = still(image, cropped(SIZE, crop), *turn)
    made = shown(rendered(data).data)
    assert same(made, turned(image.crop(crop), turn))
    assert peek(data).size == made.size == Source(data, Limits()).size


def test_listed_order_of_transformations_does_not_matter():
    crop, image = (16, 8, 56, 40), squares()
    for properties in [(imir(1), irot(1), cropped(SIZE, crop)), (irot(1), cropped(SIZE, crop), imir(1))]:
        data = still(image, *properties)
        assert same(shown(rendered(data).data), turned(image.crop(crop), (irot(1), imir(1))))
        assert peek(data).size == (32, 40)


@pytest.mark.parametrize("reason", UNUSABLE)
def test_invalid_aperture_shows_the_whole_picture(reason):
    data = still(squares(), UNUSABLE[reason], irot(1))
    made = shown(rendered(data).data)
    assert same(made, turned(squares(), (irot(1),))) and peek(data).size == made.size == (64, 80)


def test_truncated_aperture_shows_the_whole_picture():
    data = still(squares(), box(b"clap", bytes(12)))
    assert peek(data).size == SIZE
    with pytest.raises(Unrenderable):  # by libavif
        rendered(data)


def test_exif_of_an_avif_does_not_turn_it_twice():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(squares(), "AVIF", exif=exif.tobytes(), quality=100, subsampling="4:4:4")
    assert b"irot" in data
    assert same(shown(rendered(data).data), squares().rotate(270, expand=True))
    assert peek(data).size == (64, 80)


@pytest.mark.parametrize("fit", [Fit.CONTAIN, Fit.COVER, Fit.PAD, Fit.FILL])
def test_renditions_have_the_proportions_of_the_aperture(fit):
    image = squares()
    data = still(image, cropped(SIZE, (16, 8, 48, 56)), irot(1))
    made = rendered(data, "PNG", 24, 24, fit)
    plain = rendered(saved(image.crop((16, 8, 48, 56)).rotate(90, expand=True), "PNG"), "PNG", 24, 24, fit)
    assert (made.width, made.height) == (plain.width, plain.height)
    difference = [abs(a - b) for a, b in zip(shown(made.data).tobytes(), shown(plain.data).tobytes(), strict=True)]
    assert sum(difference) / len(difference) < 3


def test_limits_count_pixels_within_the_aperture():
    data = still(squares(), cropped(SIZE, (0, 0, 40, 32)))
    assert rendered(data, limits=Limits(max_pixels=40 * 32)).width == 40
    with pytest.raises(Unrenderable, match="40x32"):
        rendered(data, limits=Limits(max_pixels=40 * 32 - 1))
    with pytest.raises(Unrenderable, match="80x64"):  # all pixels are decoded
        rendered(data, limits=Limits(max_decoded_bytes=16 * 80 * 64 - 1))


def test_transparency_is_cropped_to_the_aperture():
    image = see_through(80, 64)
    data = saved(image, "AVIF", quality=100)
    at, extra = data.index(b"ipco") + 4, cropped(SIZE, (20, 8, 60, 56))
    assert shown(rendered(data).data).getpixel((70, 9))[3] == 0 and at and extra
    crop = with_property(data, extra)
    made = shown(rendered(crop).data)
    assert made.size == (40, 48)
    assert (made.getpixel((9, 9))[3], made.getpixel((30, 9))[3]) == (255, 0)


def test_mezzanine_is_cropped_to_the_aperture():
    image = large(3000, 2400)
    data = still(image, cropped(image.size, (0, 0, 1500, 2400)), quality=80, subsampling="4:2:0", speed=10)
    source = Source(data, Limits())
    reduced = source.mezzanine()
    assert reduced is not None and reduced.original == (1500, 2400)
    assert near(reduced.image.getpixel((600, 100)), RED, 30) and near(reduced.image.getpixel((600, 1000)), BLUE, 30)


@cache
def in_heic(colour: tuple[int, int, int] | None = None) -> bytes:
    """Return the squares, or one *colour*, as a HEIC. It has whole blocks, and so no aperture of its own."""
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", SIZE, colour) if colour else squares()).save(file, quality=100, chroma=444)
    return file.getvalue()


@pytest.mark.parametrize("turn", ORIENTATIONS)
def test_aperture_of_a_heic_is_applied_first(turn):
    crop = (16, 8, 56, 40)
    data = heic_with(in_heic(), SIZE, cropped(SIZE, crop), *turn)
    made = shown(rendered(data).data)
    assert same(made, turned(squares().crop(crop), turn), 30) and peek(data).size == made.size


@pytest.mark.parametrize("reason", UNUSABLE)
def test_invalid_aperture_of_a_heic_shows_the_whole_picture(reason):
    data = heic_with(in_heic(), SIZE, UNUSABLE[reason])
    made = shown(rendered(data).data)
    assert same(made, squares(), 30) and peek(data).size == made.size == Source(data, Limits()).size


def test_size_of_a_heic_is_unknown_if_the_aperture_is_listed_last():
    data = heic_with(in_heic(), SIZE, irot(1), cropped(SIZE, (16, 8, 56, 40)))
    assert peek(data).size is None and Source(data, Limits()).size == (40, 32)


def test_code_points_of_a_heic_are_applied():
    data = heic_with(in_heic((200, 80, 60)), SIZE, nclx(12, 13))
    assert near(shown(rendered(data).data).getpixel((30, 30)), (216, 69, 50))


def with_sample_aperture(data: bytes, extra: bytes) -> bytes:
    """Return the animation *data* of one track with *extra* at the end of its sample entry."""
    changed = bytearray(data)
    entry = data.index(b"av01", data.index(b"stsd")) - 4
    end = entry + size_at(data, entry)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        at = data.index(kind) - 4
        changed[at : at + 4] = (size_at(data, at) + len(extra)).to_bytes(4, "big")
    changed[entry : entry + 4] = (size_at(data, entry) + len(extra)).to_bytes(4, "big")
    for at in (data.index(b"stco") + 12, data.index(b"iloc") + 12 + 6):  # the offsets of the chunk and of the item
        changed[at : at + 4] = (size_at(data, at) + len(extra)).to_bytes(4, "big")
    changed[end:end] = extra
    return bytes(changed)


def test_every_frame_of_an_animation_is_cropped():
    frames = [squares(), squares().transpose(Image.Transpose.ROTATE_180)]
    animated = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=100, subsampling="4:4:4")
    data = with_sample_aperture(animated, cropped(SIZE, (16, 8, 56, 40)))
    assert peek(data).size == (40, 32) == Source(data, Limits()).size
    made = rendered(data, "PNG", limits=Limits(max_animation_pixels=2 * 4 * 40 * 32))
    assert made.frames == 2
    image = Image.open(io.BytesIO(made.data))
    for number, frame in enumerate(frames):
        image.seek(number)
        assert same(image, frame.crop((16, 8, 56, 40)))
