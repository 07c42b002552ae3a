"""How often a film plays and how long its frames show, brought into the numbers that each format can hold."""

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
from service.imaging.writing.timing import durations, plays_within
from tests.imaging.forged import gif
from tests.pictures_in_code import BLUE, GREEN, RED, animation, chunk, film, rendered, saved, shown
from tests.plays import edit_list_plays, plays

MOVING = ["GIF", "PNG", "WEBP", "AVIF"]
HOUR = 3_600_000
HELD = {"GIF": 655_350, "PNG": 65_535_000, "WEBP": 2**24 - 1, "AVIF": 2**31 - 1}
UNITS = {"GIF": 10, "PNG": 1, "WEBP": 1, "AVIF": 1}


def playing(times: int, kind: str, clear: bool = False) -> bytes:
    """Three frames that play so often, made without the code under test."""
    frames = [Image.new("RGBA", (16, 16), (*colour, 120 if clear else 255)) for colour in (RED, GREEN, BLUE)]
    frames = frames if clear and kind != "GIF" else [frame.convert("RGB") for frame in frames]
    options: dict[str, int] = {"duration": 100}
    if kind in ("PNG", "WEBP"):
        options["loop"] = times
    elif times != 1:
        options["loop"] = times and times - 1
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("times", [0, 1, 2, 3, 65_535, 65_536])
def test_a_gif_plays_as_often_in_every_format_as_that_can_say(times, kind):
    made = rendered(playing(times, "GIF"), kind)
    assert made.frames == len(film(made.data)) == 3
    assert plays(made.data) == (min(times, 65_535) if kind == "WEBP" else times)


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("times", [1, 3, 65_537, 2**31 - 1, 2**32 - 1])
def test_so_does_a_png_of_more_plays_than_others_can_count(times, kind):
    most = {"WEBP": 65_535, "GIF": 65_536, "PNG": 2**31 - 1, "AVIF": 2**31 - 1}
    assert plays(rendered(playing(times, "PNG"), kind).data) == min(times, most[kind])


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("times", [0, 1, 3])
def test_an_avif_tells_its_plays_to_every_format_in_every_track(times, kind, clear):
    stored = rendered(playing(times, "WEBP", clear), "AVIF").data
    assert edit_list_plays(stored) == times
    assert stored.count(b"tkhd") == 1 + clear
    assert plays(rendered(stored, kind, 8).data) == times


def test_an_avif_keeps_its_size_with_the_plays_it_is_given():
    sizes = {len(rendered(playing(times, "GIF"), "AVIF").data) for times in (0, 1, 3, 65_536)}
    assert len(sizes) == 1


@pytest.mark.parametrize(("whole", "once", "times"), [(600, 300, 2), (700, 300, 3), (100, 300, 1), (300, 0, 0)])
def test_a_track_plays_until_its_duration_is_over(whole, once, times):
    data = saved(Image.new("RGB", (8, 8)), "AVIF", save_all=True, append_images=[Image.new("RGB", (8, 8), RED)])
    head, edits = data.index(b"tkhd") + 4, data.index(b"elst") + 4
    data = data[: head + 28] + struct.pack(">Q", whole) + data[head + 36 :]
    data = data[: edits + 8] + struct.pack(">Q", once) + data[edits + 16 :]
    found = described(data)
    assert found is not None and found.plays == times


def test_an_avif_without_an_edit_list_plays_for_ever():
    found = described(saved(*still_and_rest()).replace(b"edts", b"free"))
    assert found is not None and found.plays == 0


def still_and_rest():
    return Image.new("RGB", (8, 8)), "AVIF"


def timed_png(*delays: tuple[int, int]) -> bytes:
    """An APNG of frames of other colours whose delays are these fractions of a second."""
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


@pytest.mark.parametrize("kind", MOVING)
def test_no_duration_is_lost_in_a_number_that_is_too_small(kind):
    data = timed_png((65_535, 1000), (8192, 125), (6554, 100), (700, 1), (12 * 3600, 1), (1, 10))
    exact = [65_535, 65_536, 65_540, 700_000, 12 * HOUR, 100]
    held = [min(each, HELD[kind]) for each in exact]
    made = [time for _, time in film(rendered(data, kind).data)]
    assert all(abs(got - want) <= UNITS[kind] for got, want in zip(made, held, strict=True))


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("source", ["GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("long", [65_530, 65_536, 65_540, 70_000, 655_350, 655_360, 2**24 - 1, 12 * HOUR])
def test_long_frames_of_every_format_stay_long(source, kind, long):
    long = min(long, HELD[source])
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    data = saved(frames[0], source, save_all=True, append_images=frames[1:], duration=[100, long, 200])
    stored = film(data)[1][1]
    _, (_, made), _ = film(rendered(data, kind).data)
    wanted = min(stored, HELD[kind])
    assert abs(made - wanted) <= (10 if kind == "GIF" else 500 if wanted > 6_553_500 else 5)


def test_frames_that_are_alike_add_up_to_more_than_one_can_hold():
    still, other = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    data = saved(still, "AVIF", save_all=True, append_images=[still] * 8 + [other], duration=[9_000_000] * 9 + [100])
    for kind in MOVING:
        made = film(rendered(data, kind).data)
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
def test_alike_frames_of_a_gif_are_one_unless_that_shows_for_too_long(times, made, alpha):
    alike, other = Image.new("RGBA", (8, 8), (*RED, alpha)), Image.new("RGBA", (8, 8), (*BLUE, 255))
    frames = [Frame(alike, time) for time in times] + [Frame(other, 200)]
    written = film(encode_animation(frames, Format.GIF, 0, Encoding()))
    assert [time for _, time in written] == [*made, 200]
    clear = [0 if alpha == 120 else 255] * len(made)
    assert [picture.getpixel((4, 4))[3] for picture, _ in written] == [*clear, 255]


def test_a_webp_lasts_no_longer_than_its_writer_counts():
    data = timed_png(*[(50_000, 1)] * 3 + [(65_535, 1)] * 157)
    times = [time for _, time in film(rendered(data, "WEBP").data)]
    assert sum(times) <= 2**31 - 1 and min(times) > 13_000_000


@pytest.mark.parametrize("kind", MOVING)
def test_many_short_frames_take_as_long_together_as_before(kind):
    """A third of a second thirty times is ten seconds, however each is rounded."""
    data = timed_png(*[(1, 30)] * 60, (1, 1))
    assert sum(time for _, time in film(rendered(data, kind).data)) == 3000


def test_an_avif_in_thirtieths_of_a_second_does_not_drift():
    frames = [Image.new("RGB", (8, 8), (at, 0, 0)) for at in range(0, 180, 3)]
    data = bytearray(saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=1))
    for kind, at in ((b"mvhd", 24), (b"mdhd", 24)):  # after type, version and two times of 64 bits
        place = data.index(kind) + at
        assert data[place : place + 4] == (1000).to_bytes(4, "big")
        data[place : place + 4] = (30).to_bytes(4, "big")
    assert sum(time for _, time in film(rendered(bytes(data), "WEBP").data)) == 2000


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_frames_of_no_duration_show_as_long_as_browsers_show_them(kind):
    assert [time for _, time in film(rendered(timed_png((0, 1), (0, 0), (1, 5)), kind).data)] == [100, 100, 200]


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_frames_of_no_duration_stay_so_where_that_can_be_said(kind):
    assert [time for _, time in film(rendered(timed_png((0, 1), (0, 0), (1, 5)), kind).data)] == [0, 0, 200]


def test_a_gif_whose_frames_are_alike_is_a_still():
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    assert len(film(rendered(gif(1, 1, frame * 3), "GIF").data)) == 1


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=40), st.sampled_from(MOVING))
def test_every_duration_fits_its_format(times, kind):
    made = durations(times, Format[kind])
    assert len(made) == len(times) and all(0 <= time <= HELD[kind] for time in made)
    assert all(time % UNITS[kind] == 0 for time in made)
    if kind == "WEBP":
        assert sum(made) <= 2**31 - 1 and min(made) > 0


@given(st.lists(st.floats(2, 6e7), min_size=1, max_size=40), st.sampled_from(["PNG", "AVIF"]))
def test_the_sum_of_durations_is_that_of_the_exact_ones(times, kind):
    assert abs(sum(durations(times, Format[kind])) - sum(times)) <= (500.5 if kind == "PNG" else 1)


@pytest.mark.parametrize(("kind", "most"), [("WEBP", 65_535), ("GIF", 65_536), ("PNG", 2**31 - 1), ("AVIF", 2**31 - 1)])
def test_plays_end_where_the_field_does(kind, most):
    assert [plays_within(each, Format[kind]) for each in (0, 1, most, most + 1, 2**64)] == [0, 1, most, most, most]


def test_a_film_for_ever_stays_one():
    assert {plays(rendered(animation("GIF"), kind).data) for kind in MOVING} == {0}
    assert shown(rendered(animation("GIF"), "JPEG").data).size == (32, 32)
