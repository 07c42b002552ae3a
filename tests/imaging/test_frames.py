"""Disposal, blending, palettes and boxes of the frames of GIF and APNG, compared with a composition in this module.

It follows the PNG specification (third edition, 11.3.3), and browsers for GIF89a.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.errors import Unrenderable
from service.imaging.reading import gif as gif_reader
from service.imaging.reading.parts import composed
from service.imaging.writing.animated_gif import animated_gif
from tests.conftest import examples
from tests.pixels import frames_of, rendered
from tools.pictures.png import chunk

Pixel = tuple[int, int, int, int]
CLEAR: Pixel = (0, 0, 0, 0)
WIDE, HIGH = 6, 5
COLOURS: list[Pixel] = [(255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (250, 250, 10, 255)]
HALF: list[Pixel] = [*COLOURS, (255, 255, 255, 128), (10, 10, 10, 64), CLEAR]


@dataclass(frozen=True)
class Drawn:
    """A frame: its box, its pixels by rows, and its disposal (0: keep, 1: clear, 2: restore)."""

    left: int
    top: int
    width: int
    height: int
    pixels: tuple[Pixel, ...]
    disposal: int
    over: bool
    time: int


@st.composite
def drawn(draw: st.DrawFn, pixels: list[Pixel], whole: bool = False) -> Drawn:
    left, top = (0, 0) if whole else (draw(st.integers(0, WIDE - 1)), draw(st.integers(0, HIGH - 1)))
    width, height = (WIDE, HIGH) if whole else (draw(st.integers(1, WIDE - left)), draw(st.integers(1, HIGH - top)))
    area = draw(st.tuples(*[st.sampled_from(pixels)] * (width * height)))
    return Drawn(left, top, width, height, area, draw(st.integers(0, 2)), draw(st.booleans()), draw(st.integers(1, 9)))


def shown_as(frames: list[Drawn]) -> list[tuple[list[Pixel], int]]:
    """Return every canvas and its time in tenths of a second. Equal neighbours are joined, as writers do."""
    canvas = [CLEAR] * (WIDE * HIGH)
    made: list[tuple[list[Pixel], int]] = []
    for frame in frames:
        before = canvas.copy()
        for y in range(frame.height):
            for x in range(frame.width):
                at = (frame.top + y) * WIDE + frame.left + x
                pixel = frame.pixels[y * frame.width + x]
                canvas[at] = blended(pixel, canvas[at]) if frame.over else pixel
        if made and made[-1][0] == canvas:
            made[-1] = (made[-1][0], made[-1][1] + frame.time)
        else:
            made.append((canvas.copy(), frame.time))
        if frame.disposal:
            for y in range(frame.top, frame.top + frame.height):
                for x in range(frame.left, frame.left + frame.width):
                    canvas[y * WIDE + x] = before[y * WIDE + x] if frame.disposal == 2 else CLEAR
    return made


def blended(above: Pixel, below: Pixel) -> Pixel:
    a, b = above[3] / 255, below[3] / 255
    alpha = a + b * (1 - a)
    if alpha == 0:
        return CLEAR
    red, green, blue = (
        round((one * a + two * b * (1 - a)) / alpha) for one, two in zip(above[:3], below[:3], strict=True)
    )
    return red, green, blue, round(alpha * 255)


def assert_shows(data: bytes, frames: list[Drawn]) -> None:
    wanted = shown_as(frames)
    seen = frames_of(rendered(data, "PNG").data)
    if len(wanted) == 1:
        seen = [(seen[0][0], wanted[0][1] * 100.0)]  # a still picture has no duration
    assert [time for _, time in seen] == [time * 100 for _, time in wanted]
    for (image, _), (canvas, _) in zip(seen, wanted, strict=True):
        for got, want in zip(zip(*[iter(image.tobytes())] * 4, strict=True), canvas, strict=True):
            assert abs(got[3] - want[3]) <= 2
            assert want[3] < 8 or all(abs(a - b) * want[3] <= 4 * 255 for a, b in zip(got, want, strict=True)), (
                got,
                want,
            )


def apng(frames: list[Drawn], still: bool = False) -> bytes:
    """Return an APNG. The first frame covers the canvas, unless a *still* picture precedes it."""
    parts, sequence = [], 0
    if still:
        parts.append(chunk(b"IDAT", zlib.compress(bytes(HIGH * (1 + 4 * WIDE)))))
    for frame in frames:
        box = (frame.width, frame.height, frame.left, frame.top)
        parts.append(chunk(b"fcTL", struct.pack(">5I2H2B", sequence, *box, frame.time, 10, frame.disposal, frame.over)))
        sequence += 1
        rows = (frame.pixels[at : at + frame.width] for at in range(0, len(frame.pixels), frame.width))
        body = zlib.compress(b"".join(b"\0" + bytes(part for pixel in row for part in pixel) for row in rows))
        if b"IDAT" in b"".join(parts):
            for piece in (body[:7], body[7:]):  # in several chunks, as in large files
                parts.append(chunk(b"fdAT", struct.pack(">I", sequence) + piece))
                sequence += 1
        else:
            parts.append(chunk(b"IDAT", body))
    head = chunk(b"IHDR", struct.pack(">2I5B", WIDE, HIGH, 8, 6, 0, 0, 0)) + chunk(
        b"acTL", struct.pack(">2I", len(frames), 0)
    )
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(parts) + chunk(b"IEND")


def gif(frames: list[Drawn], order: int = 0) -> bytes:
    """Return a GIF with a palette in another *order* for every frame. Entry 7 is transparent."""
    parts = [b"GIF89a" + struct.pack("<2H", WIDE, HIGH) + bytes((0, 0, 0)), b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"]
    for number, frame in enumerate(frames):
        shift = (order + number) % 4
        palette = [COLOURS[(at + shift) % 4] for at in range(7)] + [CLEAR]
        disposal = {0: 0 if order % 2 else 1, 1: 2, 2: 3}[frame.disposal]
        clear = CLEAR in frame.pixels
        parts.append(b"!\xf9\x04" + bytes((disposal << 2 | clear,)) + struct.pack("<H", frame.time * 10) + b"\x07\0")
        parts.append(b"," + struct.pack("<4H", frame.left, frame.top, frame.width, frame.height) + b"\x82")
        parts.append(bytes(part for pixel in palette for part in pixel[:3]))
        parts.append(lzw([palette.index(pixel) for pixel in frame.pixels]))
    return b"".join(parts) + b";"


def lzw(indices: list[int]) -> bytes:
    """Return *indices* as LZW codes of four bits, with a clear code before every fourth."""
    codes = [code for at in range(0, len(indices), 4) for code in (8, *indices[at : at + 4])] + [9]
    packed = bytearray(codes[at] | (codes[at + 1] if at + 1 < len(codes) else 0) << 4 for at in range(0, len(codes), 2))
    return (
        b"\x03"
        + b"".join(bytes((len(part),)) + part for part in (packed[at : at + 255] for at in range(0, len(packed), 255)))
        + b"\0"
    )


@examples(120)
@given(drawn(HALF, whole=True), st.lists(drawn(HALF), min_size=1, max_size=4))
def test_apng_frames_follow_the_specification(first, rest):
    assert_shows(apng([first, *rest]), [first, *rest])


@examples(60)
@given(st.lists(drawn(HALF), min_size=2, max_size=4))
def test_apng_frames_may_begin_after_a_still_picture(frames):
    wanted = shown_as(frames)
    seen = frames_of(rendered(apng(frames, still=True), "WEBP").data)
    assert sum(time for _, time in seen) == sum(time for _, time in wanted) * 100 or len(wanted) == 1


@examples(120)
@given(st.lists(drawn([*COLOURS, CLEAR]), min_size=2, max_size=5), st.integers(0, 7))
def test_gif_frames_are_composed_as_in_browsers(frames, order):
    every = [Drawn(**{**vars(frame), "over": True}) for frame in frames]
    assert_shows(gif(every, order), every)


BLACK: Pixel = (0, 0, 0, 255)


@examples(150)
@given(
    st.lists(st.tuples(drawn([*COLOURS, BLACK, CLEAR], whole=True), st.integers(1, 9)), min_size=1, max_size=5),
    st.booleans(),
)
def test_written_gif_shows_every_frame(timed_frames, clear):
    """Pillow's writer confuses black with transparent."""
    images = []
    for frame, _ in timed_frames:
        image = Image.new("RGBA", (WIDE, HIGH))
        image.putdata([pixel if clear or pixel[3] else BLACK for pixel in frame.pixels])
        images.append(image if clear else image.convert("RGB"))
    data = animated_gif(images, [100 * time for _, time in timed_frames], plays=3)
    seen = [(shown.copy(), time) for shown, time in composed("RGBA", (WIDE, HIGH), gif_reader.parts(data))]
    wanted: list[tuple[bytes, float]] = []
    for image, (_, time) in zip(images, timed_frames, strict=True):
        pixels = image.convert("RGBA").tobytes()
        earlier = wanted.pop()[1] if wanted and wanted[-1][0] == pixels else 0
        wanted.append((pixels, earlier + 100 * time))
    assert [(shown.tobytes(), time) for shown, time in seen] == wanted
    assert b"NETSCAPE2.0\x03\x01\x02\0\0" in data


def solid(colour: Pixel, left: int, top: int, width: int, height: int, disposal: int = 0, over: bool = False) -> Drawn:
    return Drawn(left, top, width, height, (colour,) * (width * height), disposal, over, 1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("source", ["GIF", "APNG"])
def test_cleared_corner_is_transparent_in_every_format(source, kind):
    red, green, _, yellow = COLOURS
    frames = [solid(red, 0, 0, WIDE, HIGH), solid(green, 0, 0, 3, 3, 1), solid(yellow, 5, 4, 1, 1)]
    data = gif(frames) if source == "GIF" else apng(frames)
    *_, (last, _) = frames_of(rendered(data, kind, 60).data)
    assert last.getpixel((8, 8))[3] <= 8
    assert last.getpixel((40, 10))[3] >= 247


def test_apng_of_too_many_chunks_is_refused():
    sound = apng([solid(COLOURS[0], 0, 0, WIDE, HIGH), solid(COLOURS[1], 2, 2, 3, 3)])
    between = sound.rindex(b"fcTL") - 4
    assert rendered(sound[:between] + chunk(b"abCd") * 1_000 + sound[between:], "PNG").frames == 2
    with pytest.raises(Unrenderable):
        rendered(sound[:between] + chunk(b"abCd") * 150_000 + sound[between:], "PNG")
