"""Colours with code points, which differ from those in Chromium by at most 12."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from PIL import Image, ImageCms

from service.imaging.containers.cicp import CodePoints
from service.imaging.order import Limits
from service.imaging.pixels.colour import to_srgb
from service.imaging.source import Source
from tests.pixels import near, rendered, shown
from tools.pictures.drawing import saved
from tools.pictures.isobmff import (
    nclx,
    profile,
    still,
)

COLOURS = [(200, 80, 60), (60, 180, 90), (40, 70, 190), (255, 255, 255), (128, 128, 128), (30, 30, 30), (190, 190, 190)]
PATCH = 16
SRGB_CURVES = (1, 2, 6, 13, 14, 15)
# Read from a canvas in Chromium 156 that shows the same files.
CHROMIUM = {
    (12, 13): [(216, 70, 49), (0, 184, 77), (28, 72, 197), (255,) * 3, (128,) * 3, (30,) * 3, (190,) * 3],
    (9, 13): [(244, 40, 49), (0, 190, 73), (0, 72, 199), (255,) * 3, (128,) * 3, (30,) * 3, (190,) * 3],
    (1, 13): COLOURS,
}
GREYS = {16: [(255,) * 3, (132,) * 3, (4,) * 3, (253,) * 3], 18: [(255,) * 3, (99,) * 3, (13,) * 3, (185,) * 3]}


def patches(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (PATCH * len(COLOURS), PATCH))
    for at, colour in enumerate(COLOURS):
        image.paste(colour, (PATCH * at, 0, PATCH * at + PATCH, PATCH))
    return image.convert(mode)


def patch_colours(data: bytes) -> list[tuple[int, ...]]:
    image = shown(data).convert("RGB")
    return [image.getpixel((PATCH * at + PATCH // 2, PATCH // 2)) for at in range(len(COLOURS))]


@pytest.mark.parametrize("points", CHROMIUM)
def test_colours_of_an_avif_are_those_of_chromium(points):
    made = patch_colours(rendered(still(patches(), colour=nclx(*points))).data)
    assert all(near(got, want) for got, want in zip(made, CHROMIUM[points], strict=True))


TELEVISION = {
    1: [(197, 70, 49), (49, 176, 81), (28, 60, 186), (255,) * 3, (121,) * 3, (18,) * 3, (186,) * 3],
    9: [(242, 1, 37), (0, 185, 62), (0, 60, 195), (255,) * 3, (121,) * 3, (18,) * 3, (186,) * 3],
    12: [(214, 57, 37), (0, 179, 67), (14, 61, 194), (255,) * 3, (121,) * 3, (18,) * 3, (186,) * 3],
}
# The same for PNG, where curves of television differ from that of sRGB.


@pytest.mark.parametrize("transfer", [1, 6, 14, 15])
@pytest.mark.parametrize("primaries", TELEVISION)
def test_png_does_not_show_curves_of_television_as_srgb(primaries, transfer):
    made = to_srgb(patches(), None, CodePoints(primaries, transfer, 0, 1))
    assert all(
        near(got, want, 3) for got, want in zip(patch_colours(saved(made, "PNG")), TELEVISION[primaries], strict=True)
    )
    grey = to_srgb(Image.new("LA", (4, 4), (128, 50)), None, CodePoints(primaries, transfer, 0, 1))
    assert grey.mode == "LA" and near(grey.getpixel((1, 1)), (121, 50), 1)


@pytest.mark.parametrize("primaries", [1, 2, 9, 12])
@pytest.mark.parametrize("transfer", GREYS)
def test_greys_of_high_dynamic_range_are_those_of_chromium(transfer, primaries):
    made = patch_colours(rendered(still(patches(), colour=nclx(primaries, transfer))).data)
    assert all(near(got, want) for got, want in zip(made[3:], GREYS[transfer], strict=True))
    assert [pixel.index(max(pixel)) for pixel in made[:3]] == [0, 1, 2]


@pytest.mark.parametrize("transfer", SRGB_CURVES)
@pytest.mark.parametrize("primaries", [1, 2, 9, 12])
def test_avif_shows_curves_of_television_as_srgb(primaries, transfer):
    made = patch_colours(rendered(still(patches(), colour=nclx(primaries, transfer))).data)
    wanted = CHROMIUM.get((primaries, 13), COLOURS)
    assert all(near(got, want) for got, want in zip(made, wanted, strict=True))


@pytest.mark.parametrize(
    "points",
    [(0, 0), (2, 2), (4, 4), (5, 6), (6, 6), (7, 7), (8, 13), (10, 13), (22, 8), (1, 5), (9, 8), (12, 17), (999, 999)],
)
def test_unknown_code_points_are_srgb(points):
    made = patch_colours(rendered(still(patches(), colour=nclx(*points))).data)
    assert all(near(got, want) for got, want in zip(made, COLOURS, strict=True))


@pytest.mark.parametrize(("primaries", "signal"), [(9, 148), (12, 148), (1, 148)])
def test_reference_white_of_pq_is_bright(primaries, signal):
    data = still(Image.new("RGB", (64, 64), (signal,) * 3), colour=nclx(primaries, 16))
    assert all(180 <= value <= 255 for value in shown(rendered(data).data).getpixel((30, 30)))


@pytest.mark.parametrize("transfer", [16, 18])
def test_brighter_signals_never_become_darker(transfer):
    ramp = Image.new("L", (256, 1))
    ramp.putdata(range(256))
    greys = to_srgb(ramp.convert("RGB"), None, CodePoints(9, transfer, 9, 1)).convert("L").tobytes()
    assert all(later >= earlier for earlier, later in pairwise(greys))
    assert greys[0] <= 2 and greys[-1] >= 253


def test_profile_precedes_code_points():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for properties in ((nclx(9, 16), profile(srgb)), (profile(srgb), nclx(9, 16))):
        made = patch_colours(rendered(still(patches(), properties[1], colour=properties[0])).data)
        assert all(near(got, want) for got, want in zip(made, COLOURS, strict=True))


def test_unusable_profile_does_not_precede_code_points():
    made = patch_colours(rendered(still(patches(), profile(bytes(200)), colour=nclx(12, 13))).data)
    assert all(near(got, want) for got, want in zip(made, CHROMIUM[12, 13], strict=True))


@pytest.mark.parametrize("points", [(12, 13), (9, 13), (1, 13)])
def test_code_points_of_the_stream_count_without_a_box(points):
    data = still(patches(), colour=b"")
    start = data.index(b"mdat") + 4
    assert b"nclx" not in data
    changed = data[:start] + with_points(data[start : start + 40], points) + data[start + 40 :]
    made = patch_colours(rendered(changed).data)
    assert all(near(got, want) for got, want in zip(made, CHROMIUM[points], strict=True))


def with_points(stream: bytes, points: tuple[int, int]) -> bytes:
    """Return the start of an AV1 *stream* with the primaries and the curve of *points* in place of those of sRGB."""
    bits = "".join(f"{byte:08b}" for byte in stream)
    before, after = (f"{primaries:08b}{transfer:08b}" for primaries, transfer in ((1, 13), points))
    assert bits.count(before) == 1
    return int(bits.replace(before, after), 2).to_bytes(len(stream), "big")


@pytest.mark.parametrize("points", [(12, 13), (9, 16), (9, 18)])
def test_code_points_do_not_change_transparency(points):
    image = patches("RGBA")
    image.putalpha(100)
    data = saved(image, "AVIF", quality=100, subsampling="4:4:4")
    data = data.replace(nclx(1, 13, 6)[:-1], nclx(*points)[:-1])
    made = shown(rendered(data).data)
    assert made.mode == "RGBA" and made.getchannel("A").getextrema() == (100, 100)
    assert near(made.getpixel((8, 8))[:3], CHROMIUM.get(points, [(255, 0, 10)])[0], 16)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "GIF"])
def test_code_points_apply_to_every_frame(kind):
    frames = [Image.new("RGB", (32, 32), colour) for colour in COLOURS[:3]]
    data = saved(
        frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=100, quality=100, subsampling="4:4:4"
    )
    data = data.replace(nclx(1, 13, 6)[:-1], nclx(12, 13)[:-1])
    image = Image.open(io.BytesIO(rendered(data, kind).data))
    for number, wanted in enumerate(CHROMIUM[12, 13][:3]):
        image.seek(number)
        assert near(image.convert("RGB").getpixel((16, 16)), wanted, 20)


def test_mezzanine_is_in_srgb():
    image = Image.new("RGB", (2600, 2000), COLOURS[0])
    reduced = Source(still(image, colour=nclx(12, 13), speed=10), Limits()).mezzanine()
    assert reduced is not None and near(reduced.image.getpixel((500, 400)), CHROMIUM[12, 13][0])


def test_code_points_keep_grey_grey():
    data = saved(patches("L"), "AVIF", quality=100, subsampling="4:0:0")
    data = data.replace(nclx(1, 13, 6)[:-1], nclx(9, 16)[:-1])
    made = shown(rendered(data).data)
    assert all(near(got, want) for got, want in zip(patch_colours(rendered(data).data)[3:], GREYS[16], strict=True))
    assert all(max(pixel) - min(pixel) <= 2 for pixel in [made.convert("RGB").getpixel((x, 8)) for x in range(112)])
