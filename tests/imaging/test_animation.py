"""Moving pictures: what is shown, how long, how often, and when only the first frame goes out."""

from __future__ import annotations

import time

import pytest
from PIL import Image, ImageChops

from service.errors import Unrenderable
from service.imaging.render import Limits
from tests.pictures_in_code import BLUE, GREEN, RED, chunk, film, near, png, quarters, rendered, saved, shown

MOVING = ["GIF", "PNG", "WEBP", "AVIF"]


def moving(kind: str, clear: bool = False, loop: int | None = 0, size: int = 64) -> bytes:
    """A square that wanders over a ground (transparent if *clear*), three frames of 100, 200 and 300 ms."""
    frames = []
    for step, colour in enumerate((RED, GREEN, BLUE)):
        frame = Image.new("RGBA", (size, size), (0, 0, 0, 0) if clear else (250, 250, 250, 255))
        frame.paste((*colour, 255), (step * size // 4, size // 4, step * size // 4 + size // 2, size * 3 // 4))
        frames.append(frame if clear else frame.convert("RGB"))
    options: dict[str, object] = {} if loop is None or kind == "AVIF" else {"loop": loop}
    if kind == "GIF" and clear:
        options["disposal"] = 2
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=[100, 200, 300], **options)
    if kind == "WEBP" and clear:  # Pillow's writer leaves the flag out where every frame's own rectangle is opaque
        data = data[:20] + bytes((data[20] | 0x10,)) + data[21:]
    return data


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("source", MOVING)
def test_every_moving_format_becomes_every_other(source, kind, clear):
    made = rendered(moving(source, clear), kind, 32)
    frames = film(made.data)
    assert (made.frames, made.first_frame, len(frames)) == (3, False, 3)
    assert [duration for _, duration in frames] == [100, 200, 300]
    for step, ((frame, _), colour) in enumerate(zip(frames, (RED, GREEN, BLUE), strict=True)):
        assert near(frame.getpixel((step * 8 + 8, 16)), (*colour, 255), 40)
        ground = frame.getpixel((30 if step < 2 else 2, 2))
        assert ground[3] == 0 if clear else near(ground, (250, 250, 250, 255), 12)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_still_formats_get_the_first_frame_and_that_is_no_loss(kind):
    made = rendered(moving("GIF"), kind, 32)
    assert (made.frames, made.first_frame) == (1, False)
    assert near(shown(made.data).convert("RGB").getpixel((8, 16)), RED, 40)


@pytest.mark.parametrize(
    "limits", [Limits(max_frames=2), Limits(max_animation_pixels=3 * 64 * 64 - 1)]
)  # frames; pixels of the source
@pytest.mark.parametrize("source", MOVING)
def test_past_the_budget_the_first_frame_goes_out_and_says_so(source, limits):
    made = rendered(moving(source), "WEBP", 32, limits=limits)
    assert (made.frames, made.first_frame, len(film(made.data))) == (1, True, 1)
    assert near(film(made.data)[0][0].getpixel((8, 16)), (*RED, 255), 40)


def test_the_budget_counts_the_rendition_too():
    limits = Limits(max_animation_pixels=3 * 64 * 64)
    for kind, most in (("GIF", 45), ("WEBP", 45), ("AVIF", 45), ("PNG", 32)):  # a half, and a quarter for PNG
        assert rendered(moving("GIF"), kind, most, limits=limits).frames == 3
        assert rendered(moving("GIF"), kind, most + 1, limits=limits).first_frame


@pytest.mark.parametrize(("source", "loop", "plays"), [
    ("GIF", None, 1), ("GIF", 0, 0), ("GIF", 2, 3), ("PNG", 0, 0), ("PNG", 3, 3), ("WEBP", 4, 4),
])  # fmt: skip
def test_it_plays_as_often_as_before(source, loop, plays):
    data = moving(source, loop=loop)
    assert shown(rendered(data, "PNG", 32).data).info["loop"] == plays
    assert shown(rendered(data, "WEBP", 32).data).info["loop"] == plays
    told = shown(rendered(data, "GIF", 32).data).info.get("loop")
    assert told == (None if plays == 1 else max(0, plays - 1))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_partial_frames_are_shown_whole(kind):
    """A GIF whose second frame is one corner, drawn over the first."""
    first, second = quarters(64, 64), quarters(64, 64)
    second.paste((255, 255, 255), (0, 0, 8, 8))
    data = saved(first, "GIF", save_all=True, append_images=[second], duration=50)
    before, after = (frame for frame, _ in film(rendered(data, kind, 32).data))
    changed = ImageChops.difference(before.convert("RGB"), after.convert("RGB")).convert("L")
    assert changed.point(lambda value: 255 if value > 60 else 0).getbbox() == (0, 0, 4, 4)


def test_equal_neighbours_keep_their_time():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, RED, GREEN)]
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=[100, 200, 300])
    for kind in MOVING:
        frames_ = film(rendered(data, kind).data)
        assert sum(duration for _, duration in frames_) == 600, kind
        assert near(frames_[0][0].getpixel((8, 8)), (*RED, 255), 40) and near(
            frames_[-1][0].getpixel((8, 8)), (*GREEN, 255), 40
        )


def test_an_apng_for_those_without_animation_keeps_its_first_picture_out_of_the_film():
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True, duration=100)
    made = rendered(data, "WEBP")
    assert made.frames == 2
    assert near(film(made.data)[0][0].getpixel((8, 8)), (*GREEN, 255), 40)
    assert near(shown(rendered(data, "JPEG").data).getpixel((8, 8)), RED, 40)
    again = rendered(data, "PNG", 8)
    assert again.frames == 2
    assert [frame.getpixel((4, 4))[:3] for frame, _ in film(again.data)] == [RED, GREEN, BLUE]


def test_an_apng_that_promises_more_frames_than_it_has_gives_its_still():
    made = rendered(png(8, 8, chunk(b"acTL", (9).to_bytes(4, "big") + bytes(4))), "PNG")
    assert (made.frames, made.first_frame) == (1, False)


def test_a_truncated_animation_is_refused_as_a_whole():
    data = moving("WEBP", size=200)
    with pytest.raises(Unrenderable):
        rendered(data[:-40], "GIF", 32)


def test_animated_avif_is_of_limited_range_for_browsers_take_it_for_that():
    """Seen in Chromium 156: black and white spread apart by a tenth in a sequence of full range."""
    data = rendered(moving("GIF"), "AVIF").data
    boxes = data.split(b"colrnclx")[1:]
    assert boxes
    assert all(box[6] & 0x80 == 0 for box in boxes)


def test_the_same_order_gives_the_same_bytes_at_any_time():
    def made():
        return {kind: rendered(moving("GIF"), kind, 32).data for kind in MOVING}

    first = made()
    time.sleep(1.1)  # files that tell when they were made do so by the second
    assert made() == first
