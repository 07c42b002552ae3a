"""Animations: pixels, durations and plays; renditions of the first frame only (docs/contract.md, section 3)."""

from __future__ import annotations

import time

import pytest
from PIL import Image, ImageChops

from service.errors import Unrenderable
from service.imaging.order import Limits
from tests.pixels import frames_of, near, rendered, shown
from tools.pictures.drawing import BLUE, GREEN, RED, quarters, saved
from tools.pictures.png import chunk, png

ANIMATED = ["GIF", "PNG", "WEBP", "AVIF"]


def moving(kind: str, clear: bool = False, loop: int | None = 0, size: int = 64) -> bytes:
    """Return a square that moves over a background, transparent if *clear*, in three frames of 100, 200 and 300 ms."""
    frames = []
    for step, colour in enumerate((RED, GREEN, BLUE)):
        frame = Image.new("RGBA", (size, size), (0, 0, 0, 0) if clear else (250, 250, 250, 255))
        frame.paste((*colour, 255), (step * size // 4, size // 4, step * size // 4 + size // 2, size * 3 // 4))
        frames.append(frame if clear else frame.convert("RGB"))
    options: dict[str, object] = {} if loop is None or kind == "AVIF" else {"loop": loop}
    if kind == "GIF" and clear:
        options["disposal"] = 2
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=[100, 200, 300], **options)
    if kind == "WEBP" and clear:  # Pillow's writer does not set the flag when the rectangle of every frame is opaque
        data = data[:20] + bytes((data[20] | 0x10,)) + data[21:]
    return data


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("kind", ANIMATED)
@pytest.mark.parametrize("source", ANIMATED)
def test_animation_is_rendered_in_every_animated_format(source, kind, clear):
    made = rendered(moving(source, clear), kind, 32)
    frames = frames_of(made.data)
    assert (made.frames, made.first_frame, len(frames)) == (3, False, 3)
    assert [duration for _, duration in frames] == [100, 200, 300]
    for step, ((frame, _), colour) in enumerate(zip(frames, (RED, GREEN, BLUE), strict=True)):
        assert near(frame.getpixel((step * 8 + 8, 16)), (*colour, 255), 40)
        ground = frame.getpixel((30 if step < 2 else 2, 2))
        assert ground[3] <= 2 if clear else near(ground, (250, 250, 250, 255), 12)  # the alpha of AVIF is lossy


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_still_format_gets_the_first_frame(kind):
    made = rendered(moving("GIF"), kind, 32)
    assert (made.frames, made.first_frame) == (1, False)
    assert near(shown(made.data).convert("RGB").getpixel((8, 16)), RED, 40)


@pytest.mark.parametrize(
    "limits", [Limits(max_frames=2), Limits(max_animation_pixels=3 * 64 * 64 - 1)]
)  # frames; pixels of the original
@pytest.mark.parametrize("source", ANIMATED)
def test_animation_above_the_limits_gives_its_first_frame(source, limits):
    made = rendered(moving(source), "WEBP", 32, limits=limits)
    assert (made.frames, made.first_frame, len(frames_of(made.data))) == (1, True, 1)
    assert near(frames_of(made.data)[0][0].getpixel((8, 16)), (*RED, 255), 40)


def test_limit_of_pixels_counts_the_rendition():
    limits = Limits(max_animation_pixels=3 * 64 * 64)
    for kind, most in (
        ("GIF", 45),
        ("WEBP", 45),
        ("AVIF", 45),
        ("PNG", 32),
    ):  # the half, for PNG a quarter
        assert rendered(moving("GIF"), kind, most, limits=limits).frames == 3
        assert rendered(moving("GIF"), kind, most + 1, limits=limits).first_frame


@pytest.mark.parametrize(("source", "loop", "plays"), [
    ("GIF", None, 1), ("GIF", 0, 0), ("GIF", 2, 3), ("PNG", 0, 0), ("PNG", 3, 3), ("WEBP", 4, 4),
])  # fmt: skip
def test_animation_keeps_its_number_of_plays(source, loop, plays):
    data = moving(source, loop=loop)
    assert shown(rendered(data, "PNG", 32).data).info["loop"] == plays
    assert shown(rendered(data, "WEBP", 32).data).info["loop"] == plays
    repetitions = shown(rendered(data, "GIF", 32).data).info.get("loop")
    assert repetitions == (None if plays == 1 else max(0, plays - 1))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_partial_frames_are_composed(kind):
    """The second frame of the GIF is one corner, drawn over the first."""
    first, second = quarters(64, 64), quarters(64, 64)
    second.paste((255, 255, 255), (0, 0, 8, 8))
    data = saved(first, "GIF", save_all=True, append_images=[second], duration=50)
    before, after = (frame for frame, _ in frames_of(rendered(data, kind, 32).data))
    changed = ImageChops.difference(before.convert("RGB"), after.convert("RGB")).convert("L")
    assert changed.point(lambda value: 255 if value > 60 else 0).getbbox() == (0, 0, 4, 4)


def test_equal_frames_keep_their_duration():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, RED, GREEN)]
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=[100, 200, 300])
    for kind in ANIMATED:
        made = frames_of(rendered(data, kind).data)
        assert sum(duration for _, duration in made) == 600, kind
        assert near(made[0][0].getpixel((8, 8)), (*RED, 255), 40) and near(
            made[-1][0].getpixel((8, 8)), (*GREEN, 255), 40
        )


def test_apng_default_image_is_not_a_frame():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True, duration=100)
    made = rendered(data, "WEBP")
    assert made.frames == 2
    assert near(frames_of(made.data)[0][0].getpixel((8, 8)), (*GREEN, 255), 40)
    assert near(shown(rendered(data, "JPEG").data).getpixel((8, 8)), RED, 40)
    small = rendered(data, "PNG", 8)
    assert small.frames == 2
    assert [frame.getpixel((4, 4))[:3] for frame, _ in frames_of(small.data)] == [RED, GREEN, BLUE]


def test_apng_with_missing_frames_gives_a_still():
    made = rendered(png(8, 8, chunk(b"acTL", (9).to_bytes(4, "big") + bytes(4))), "PNG")
    assert (made.frames, made.first_frame) == (1, False)


def test_truncated_animation_is_refused():
    data = moving("WEBP", size=200)
    with pytest.raises(Unrenderable):
        rendered(data[:-40], "GIF", 32)


def test_animated_avif_has_limited_range():
    """Chromium 156 reads every sequence as limited range, and spreads black and white of full range by a tenth."""
    data = rendered(moving("GIF"), "AVIF").data
    boxes = data.split(b"colrnclx")[1:]
    assert boxes
    assert all(box[6] & 0x80 == 0 for box in boxes)


def test_animation_is_the_same_bytes_at_any_time():
    def made():
        return {kind: rendered(moving("GIF"), kind, 32).data for kind in ANIMATED}

    first = made()
    time.sleep(1.1)  # times of creation are in seconds
    assert made() == first
