"""Plays and durations of animations, rounded to what each format can hold (docs/contract.md, section 3)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.formats import Format
from service.imaging.containers.isobmff.picture import shown_picture as described
from service.imaging.order import Encoding
from service.imaging.reading.animation import Frame
from service.imaging.writing.encode import encode_animation
from service.imaging.writing.timing import Timing
from service.imaging.writing.writers import WRITERS
from tests.imaging.forged import gif
from tests.pixels import frames_of, rendered, shown
from tests.plays import edit_list_plays, plays
from tools.pictures.drawing import BLUE, GREEN, RED, animation, saved
from tools.pictures.png import chunk

ANIMATED = ["GIF", "PNG", "WEBP", "AVIF"]
HOUR = 3_600_000
LONGEST = {"GIF": 655_350, "PNG": 65_535_000, "WEBP": 2**24 - 1, "AVIF": 2**31 - 1}
UNITS = {"GIF": 10, "PNG": 1, "WEBP": 1, "AVIF": 1}


def timing(kind: str) -> Timing:
    """Return the timing that animations of that *kind* can hold."""
    found = WRITERS[Format[kind]].timing
    assert found is not None
    return found


def animation_that_plays(times: int, kind: str, clear: bool = False) -> bytes:
    """Return an animation of three frames that plays *times* times, written by Pillow only."""
    frames = [Image.new("RGBA", (16, 16), (*colour, 120 if clear else 255)) for colour in (RED, GREEN, BLUE)]
    frames = frames if clear and kind != "GIF" else [frame.convert("RGB") for frame in frames]
    options: dict[str, int] = {"duration": 100}
    if kind in ("PNG", "WEBP"):
        options["loop"] = times
    elif times != 1:
        options["loop"] = times and times - 1
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("kind", ANIMATED)
@pytest.mark.parametrize("times", [0, 1, 2, 3, 65_535, 65_536])
def test_plays_of_a_gif_are_kept_up_to_the_limit_of_the_format(times, kind):
    made = rendered(animation_that_plays(times, "GIF"), kind)
    assert made.frames == len(frames_of(made.data)) == 3
    assert plays(made.data) == (min(times, 65_535) if kind == "WEBP" else times)


@pytest.mark.parametrize("kind", ANIMATED)
@pytest.mark.parametrize("times", [1, 3, 65_537, 2**31 - 1, 2**32 - 1])
def test_plays_of_a_png_are_kept_up_to_the_limit_of_the_format(times, kind):
    most = {"WEBP": 65_535, "GIF": 65_536, "PNG": 2**31 - 1, "AVIF": 2**31 - 1}
    assert plays(rendered(animation_that_plays(times, "PNG"), kind).data) == min(times, most[kind])


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("kind", ANIMATED)
@pytest.mark.parametrize("times", [0, 1, 3])
def test_plays_of_an_avif_are_in_every_track_and_kept_in_every_format(times, kind, clear):
    stored = rendered(animation_that_plays(times, "WEBP", clear), "AVIF").data
    assert edit_list_plays(stored) == times
    assert stored.count(b"tkhd") == 1 + clear
    assert plays(rendered(stored, kind, 8).data) == times


def test_plays_do_not_change_the_size_of_an_avif():
    sizes = {len(rendered(animation_that_plays(times, "GIF"), "AVIF").data) for times in (0, 1, 3, 65_536)}
    assert len(sizes) == 1


@pytest.mark.parametrize(("whole", "once", "times"), [(600, 300, 2), (700, 300, 3), (100, 300, 1), (300, 0, 0)])
def test_plays_of_an_avif_are_its_duration_over_that_of_its_edit(whole, once, times):
    data = saved(Image.new("RGB", (8, 8)), "AVIF", save_all=True, append_images=[Image.new("RGB", (8, 8), RED)])
    head, edits = data.index(b"tkhd") + 4, data.index(b"elst") + 4
    data = data[: head + 28] + struct.pack(">Q", whole) + data[head + 36 :]
    data = data[: edits + 8] + struct.pack(">Q", once) + data[edits + 16 :]
    found = described(data)
    assert found is not None and found.plays == times


def test_avif_without_edit_list_plays_without_end():
    found = described(saved(Image.new("RGB", (8, 8)), "AVIF").replace(b"edts", b"free"))
    assert found is not None and found.plays == 0


def timed_png(*delays: tuple[int, int]) -> bytes:
    """Return an APNG of frames of different colours whose delays are these fractions of a second."""
    first, *rest = (
        Image.new("RGB", (8, 8), (97 * at % 256, 57 * at % 256, 31 * at % 256)) for at in range(len(delays))
    )
    data = bytearray(saved(first, "PNG", save_all=True, append_images=rest, duration=100, loop=0))
    at = 0
    for delay in delays:
        at = data.index(b"fcTL", at)
        content = bytes(data[at + 4 : at + 24]) + struct.pack(">2H", *delay) + bytes(data[at + 28 : at + 30])
        data[at - 4 : at + 34] = chunk(b"fcTL", content)
        at += 30
    return bytes(data)


@pytest.mark.parametrize("kind", ANIMATED)
def test_durations_are_kept_up_to_the_limit_of_the_format(kind):
    data = timed_png((65_535, 1000), (8192, 125), (6554, 100), (700, 1), (12 * 3600, 1), (1, 10))
    exact = [65_535, 65_536, 65_540, 700_000, 12 * HOUR, 100]
    expected = [min(each, LONGEST[kind]) for each in exact]
    made = [time for _, time in frames_of(rendered(data, kind).data)]
    assert all(abs(got - want) <= UNITS[kind] for got, want in zip(made, expected, strict=True))


@pytest.mark.parametrize("kind", ANIMATED)
@pytest.mark.parametrize("source", ["GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("long", [65_530, 65_536, 65_540, 70_000, 655_350, 655_360, 2**24 - 1, 12 * HOUR])
def test_long_durations_are_kept_from_every_format_to_every_other(source, kind, long):
    long = min(long, LONGEST[source])
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    data = saved(frames[0], source, save_all=True, append_images=frames[1:], duration=[100, long, 200])
    stored = frames_of(data)[1][1]
    _, (_, made), _ = frames_of(rendered(data, kind).data)
    wanted = min(stored, LONGEST[kind])
    assert abs(made - wanted) <= (10 if kind == "GIF" else 500 if wanted > 6_553_500 else 5)


def test_equal_frames_keep_their_sum_of_durations():
    still, other = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    data = saved(still, "AVIF", save_all=True, append_images=[still] * 8 + [other], duration=[9_000_000] * 9 + [100])
    for kind in ANIMATED:
        made = frames_of(rendered(data, kind).data)
        total = sum(time for _, time in made)
        assert total == 9 * (655_350 if kind == "GIF" else 9_000_000) + 100, kind


@pytest.mark.parametrize("alpha", [255, 120])
@pytest.mark.parametrize(
    ("times", "made"),
    [
        ((30, 40, 50), [120]),
        ((400_000, 255_350), [655_350]),
        ((400_000, 255_360), [400_000, 255_360]),
        ((655_350, 655_350, 65_530, 10), [655_350, 655_350, 65_540]),
    ],
)
def test_equal_frames_of_a_gif_are_joined_up_to_the_longest_duration(times, made, alpha):
    alike, other = Image.new("RGBA", (8, 8), (*RED, alpha)), Image.new("RGBA", (8, 8), (*BLUE, 255))
    frames = [Frame(alike, time) for time in times] + [Frame(other, 200)]
    written = frames_of(encode_animation(frames, Format.GIF, 0, Encoding()))
    assert [time for _, time in written] == [*made, 200]
    clear = [0 if alpha == 120 else 255] * len(made)
    assert [picture.getpixel((4, 4))[3] for picture, _ in written] == [*clear, 255]


def test_webp_is_no_longer_than_its_writer_can_count():
    data = timed_png(*[(50_000, 1)] * 3 + [(65_535, 1)] * 157)
    times = [time for _, time in frames_of(rendered(data, "WEBP").data)]
    assert sum(times) <= 2**31 - 1 and min(times) > 13_000_000


@pytest.mark.parametrize("kind", ANIMATED)
def test_short_durations_keep_their_sum(kind):
    """The sum of the rounded durations is that of the exact ones."""
    data = timed_png(*[(1, 30)] * 60, (1, 1))
    assert sum(time for _, time in frames_of(rendered(data, kind).data)) == 3000


def test_durations_in_thirtieths_of_a_second_keep_their_sum():
    frames = [Image.new("RGB", (8, 8), (at, 0, 0)) for at in range(0, 180, 3)]
    data = bytearray(saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=1))
    for kind, at in ((b"mvhd", 24), (b"mdhd", 24)):  # after type, version and two times of 64 bits
        place = data.index(kind) + at
        assert data[place : place + 4] == (1000).to_bytes(4, "big")
        data[place : place + 4] = (30).to_bytes(4, "big")
    assert sum(time for _, time in frames_of(rendered(bytes(data), "WEBP").data)) == 2000


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_duration_of_zero_becomes_100_ms_in_webp_and_avif(kind):
    assert [time for _, time in frames_of(rendered(timed_png((0, 1), (0, 0), (1, 5)), kind).data)] == [100, 100, 200]


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_duration_of_zero_is_kept_in_gif_and_png(kind):
    assert [time for _, time in frames_of(rendered(timed_png((0, 1), (0, 0), (1, 5)), kind).data)] == [0, 0, 200]


def test_gif_of_equal_frames_becomes_a_still():
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    assert len(frames_of(rendered(gif(1, 1, frame * 3), "GIF").data)) == 1


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=40), st.sampled_from(ANIMATED))
def test_every_duration_is_within_the_limits_of_the_format(times, kind):
    made = timing(kind).durations(times)
    assert len(made) == len(times) and all(0 <= time <= LONGEST[kind] for time in made)
    assert all(time % UNITS[kind] == 0 for time in made)
    if kind == "WEBP":
        assert sum(made) <= 2**31 - 1 and min(made) > 0


@given(st.lists(st.floats(2, 6e7), min_size=1, max_size=40), st.sampled_from(["PNG", "AVIF"]))
def test_sum_of_durations_is_that_of_the_exact_ones(times, kind):
    assert abs(sum(timing(kind).durations(times)) - sum(times)) <= (500.5 if kind == "PNG" else 1)


@pytest.mark.parametrize(("kind", "most"), [("WEBP", 65_535), ("GIF", 65_536), ("PNG", 2**31 - 1), ("AVIF", 2**31 - 1)])
def test_plays_are_limited_by_the_format(kind, most):
    assert [timing(kind).plays(each) for each in (0, 1, most, most + 1, 2**64)] == [0, 1, most, most, most]


def test_animation_without_end_stays_without_end():
    assert {plays(rendered(animation("GIF"), kind).data) for kind in ANIMATED} == {0}
    assert shown(rendered(animation("GIF"), "JPEG").data).size == (32, 32)
