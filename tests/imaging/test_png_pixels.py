"""Transparent colours of 16 bits, and damaged animations, which become still pictures."""

from __future__ import annotations

import struct
import zlib

import pytest
from PIL import Image

from service.errors import Unrenderable
from service.imaging.admission import admit
from service.imaging.containers.png.chunks import SIGNATURE, chunks
from service.imaging.order import Encoding, Limits
from tests.pixels import frames_of, near, rendered, shown
from tools.pictures.drawing import BLUE, GREEN, RED
from tools.pictures.png import chunk, png

KEY = (0x1234, 0x5678, 0x9ABC)
SIMILAR = ((0x1235, 0x5678, 0x9ABC), (0x1234, 0x5679, 0x9ABC), (0x1234, 0x5678, 0x9ABD), (0x1134, 0x5678, 0x9ABC))
"""Colours whose high bytes or low bytes are those of the key."""


def wide(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def alphas(data: bytes, kind: str = "PNG") -> list[int]:
    made = shown(rendered(data, kind).data).convert("RGBA")
    return [made.getpixel((x, 0))[3] for x in range(made.width)]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_transparent_colour_of_16_bits_is_compared_in_16_bits(kind: str) -> None:
    data = png(
        5, 1, chunk(b"tRNS", wide(*KEY)), depth=16, pixels=b"\0" + b"".join(wide(*colour) for colour in (KEY, *SIMILAR))
    )
    assert alphas(data, kind) == [0, 255, 255, 255, 255]
    made = shown(rendered(data, "PNG").data).convert("RGBA")
    assert made.getpixel((1, 0)) == (0x12, 0x56, 0x9A, 255)
    assert admit(data, Limits()) is None
    assert alphas(admit(data, Limits(), Encoding()) or b"") == [0, 255, 255, 255, 255]


def test_transparent_grey_of_16_bits_is_compared_in_16_bits() -> None:
    pixels = b"\0" + wide(0x1234, 0x1235, 0x1334, 0x3412)
    assert alphas(png(4, 1, chunk(b"tRNS", wide(0x1234)), colour=0, depth=16, pixels=pixels)) == [0, 255, 255, 255]


def test_transparent_colour_of_an_interlaced_png_is_compared_in_16_bits() -> None:
    """Of nine pixels, the passes have 0 and 8, then 4, then 2 and 6, then the odd ones (8.1)."""
    row = [KEY, SIMILAR[0], KEY, SIMILAR[1], SIMILAR[2], SIMILAR[2], KEY, SIMILAR[3], KEY]
    passes = [row[0::8], row[4::8], row[2::4], row[1::2]]
    pixels = b"".join(b"\0" + b"".join(wide(*colour) for colour in part) for part in passes)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 1, 16, 2, 0, 0, 1))
    body = chunk(b"tRNS", wide(*KEY)) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND")
    assert alphas(SIGNATURE + head + body) == [0 if colour == KEY else 255 for colour in row]


def test_transparent_colour_of_a_large_png_is_compared_in_16_bits() -> None:
    """The left half differs from the key only in its low byte."""
    width, height = 3000, 1500
    row = b"\0" + wide(*SIMILAR[0]) * (width // 2) + wide(*KEY) * (width // 2)
    data = png(width, height, chunk(b"tRNS", wide(*KEY)), depth=16, pixels=row * height)
    made = shown(rendered(data, "PNG", 60).data)
    assert made.mode == "RGBA"
    assert [made.getpixel((x, y))[3] for x in (5, 25, 35, 55) for y in (0, 15, 29)] == [255] * 6 + [0] * 6


@pytest.mark.parametrize(("colour", "key"), [(2, KEY), (0, (0x1234,))])
def test_transparent_colour_of_every_frame_is_compared_in_16_bits(colour: int, key: tuple[int, ...]) -> None:
    close = (key[0] + 1, *key[1:])
    bodies = [b"\0" + wide(*key) + wide(*close) for _ in range(2)]
    data = apng(bodies, 2, 1, chunk(b"tRNS", wide(*key)), colour=colour, depth=16)
    for frame, _ in frames_of(rendered(data, "PNG").data):
        assert [frame.getpixel((x, 0))[3] for x in (0, 1)] == [0, 255]


def control(number: int, width: int = 8, height: int = 8, left: int = 0, top: int = 0, delay: int = 1, unit: int = 10,
            disposal: int = 0, blending: int = 0) -> bytes:  # fmt: skip
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, top, delay, unit, disposal, blending))


def rows(colour: tuple[int, int, int]) -> bytes:
    return (b"\0" + bytes(colour) * 8) * 8


def header(width: int = 8, height: int = 8, colour: int = 2, depth: int = 8) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def promise(frames: int, plays: int = 3) -> bytes:
    return chunk(b"acTL", struct.pack(">II", frames, plays))


def pixels(number: int, body: bytes) -> bytes:
    return chunk(b"fdAT", struct.pack(">I", number) + zlib.compress(body))


def apng(bodies: list[bytes], width: int, height: int, *more: bytes, colour: int = 2, depth: int = 8) -> bytes:
    parts = [header(width, height, colour, depth), *more, promise(len(bodies)), control(0, width, height)]
    parts.append(chunk(b"IDAT", zlib.compress(bodies[0])))
    for number, body in enumerate(bodies[1:]):
        parts += [control(2 * number + 1, width, height), pixels(2 * number + 2, body)]
    return b"".join((*parts, chunk(b"IEND")))


START = header()
FIRST = chunk(b"IDAT", zlib.compress(rows(RED)))
END = chunk(b"IEND")
SECOND, THIRD = control(1) + pixels(2, rows(GREEN)), control(3) + pixels(4, rows(BLUE))
SOUND = START + promise(3) + control(0) + FIRST + SECOND + THIRD + END


def damaged(one: bytes) -> bytes:
    return one[:-1] + bytes((one[-1] ^ 1,))


def cut(one: bytes, by: int) -> bytes:
    """Return the chunk *one* without its last bytes."""
    return chunk(one[4:8], one[8 : -4 - by])


def test_undamaged_animation_has_all_frames() -> None:
    made = rendered(SOUND, "PNG")
    assert made.frames == 3 and shown(made.data).info["loop"] == 3
    seen = [frame.getpixel((4, 4))[:3] for frame, _ in frames_of(made.data)]
    assert all(near(one, other, 0) for one, other in zip(seen, (RED, GREEN, BLUE), strict=True))


DAMAGED = {
    "acTL checksum": START + damaged(promise(3)) + control(0) + FIRST + SECOND + THIRD + END,
    "acTL short": START + cut(promise(3), 4) + control(0) + FIRST + SECOND + THIRD + END,
    "acTL long": START + chunk(b"acTL", bytes(12)) + control(0) + FIRST + SECOND + THIRD + END,
    "acTL twice": START + promise(3) * 2 + control(0) + FIRST + SECOND + THIRD + END,
    "acTL late": START + control(0) + FIRST + promise(3) + SECOND + THIRD + END,
    "acTL missing": START + control(0) + FIRST + SECOND + THIRD + END,
    "no frame promised": START + promise(0) + control(0) + FIRST + SECOND + THIRD + END,
    "2^31 frames promised": START + promise(2**31) + control(0) + FIRST + SECOND + THIRD + END,
    "fewer frames than promised": START + promise(4) + control(0) + FIRST + SECOND + THIRD + END,
    "first fcTL checksum": START + promise(3) + damaged(control(0)) + FIRST + SECOND + THIRD + END,
    "fcTL checksum": START + promise(3) + control(0) + FIRST + SECOND + damaged(control(3)) + THIRD[38:] + END,
    "fcTL short": START + promise(3) + control(0) + FIRST + SECOND + cut(control(3), 2) + THIRD[38:] + END,
    "fcTL empty": START + promise(3) + control(0) + FIRST + SECOND + chunk(b"fcTL") + THIRD[38:] + END,
    "fcTL twice": START + promise(3) + control(0) + FIRST + control(1) + control(2) + pixels(3, rows(BLUE)) + END,
    "fcTL without pixels": START + promise(2) + control(0) + FIRST + control(1) + END,
    "fdAT checksum": START + promise(2) + control(0) + FIRST + SECOND[:-1] + b"\0" + END,
    "fdAT short": START + promise(2) + control(0) + FIRST + SECOND + chunk(b"fdAT", b"\0\0\0") + END,
    "fdAT before its fcTL": START + promise(2) + control(0) + FIRST + pixels(1, rows(BLUE)) + control(2) + END,
    "fdAT before the pixels": START + promise(2) + control(0) + pixels(1, rows(BLUE)) + FIRST + control(2) + END,
    "numbers out of order": START + promise(2) + control(0) + FIRST + control(2) + pixels(1, rows(BLUE)) + END,
    "a number twice": START + promise(2) + control(0) + FIRST + control(1) + pixels(1, rows(BLUE)) + END,
    "a number left out": START + promise(2) + control(0) + FIRST + control(1) + pixels(3, rows(BLUE)) + END,
    "too wide": START + promise(2) + control(0) + FIRST + control(1, width=9) + pixels(2, rows(BLUE)) + END,
    "outside": START + promise(2) + control(0) + FIRST + control(1, left=1) + pixels(2, rows(BLUE)) + END,
    "far outside": START + promise(2) + control(0) + FIRST + control(1, top=2**32 - 8) + pixels(2, rows(BLUE)) + END,
    "of no height": START + promise(2) + control(0) + FIRST + control(1, height=0) + pixels(2, b"") + END,
    "first frame smaller": START + promise(2) + control(0, width=4) + FIRST + SECOND + END,
    "disposal": START + promise(2) + control(0) + FIRST + control(1, disposal=3) + pixels(2, rows(BLUE)) + END,
    "blending": START + promise(2) + control(0) + FIRST + control(1, blending=2) + pixels(2, rows(BLUE)) + END,
    "pixels cut short": START + promise(2) + control(0) + FIRST + control(1) + pixels(2, rows(BLUE)[:90]) + END,
    "no zlib stream": START + promise(2) + control(0) + FIRST + control(1) + chunk(b"fdAT", b"\0\0\0\2pixels") + END,
    "no pixels": START + promise(2) + control(0) + FIRST + control(1) + chunk(b"fdAT", b"\0\0\0\2") + END,
    "zlib checksum": START + promise(2) + control(0) + FIRST + control(1)
    + chunk(b"fdAT", b"\0\0\0\2" + damaged(zlib.compress(rows(BLUE)))) + END,
    "still first, fcTL checksum": START + promise(1) + FIRST + damaged(control(0)) + pixels(1, rows(BLUE)) + END,
    "still first, no zlib stream": START + promise(2) + FIRST + control(0) + pixels(1, rows(BLUE)) + control(2)
    + chunk(b"fdAT", b"\0\0\0\3pixels") + END,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_animation_is_a_still_picture(name: str, kind: str) -> None:
    made = rendered(DAMAGED[name], kind)
    assert (made.frames, made.first_frame) == (1, False)
    assert near(shown(made.data).convert("RGB").getpixel((4, 4)), RED, 12 if kind != "PNG" else 0)
    if kind == "PNG":
        assert admit(DAMAGED[name], Limits()) is None
        clean = admit(DAMAGED[name], Limits(), Encoding()) or b""
        assert rendered(clean, "PNG").data == made.data


def test_frames_after_the_promised_ones_are_not_read() -> None:
    data = START + promise(2) + control(0) + FIRST + SECOND + damaged(control(3)) + END
    assert rendered(data, "PNG").frames == 2


def test_chunks_between_frames_are_passed_over() -> None:
    between = chunk(b"tEXt", b"a\0b")
    data = START + promise(2) + control(0) + between + FIRST + between + control(1) + between + SECOND[38:] + END
    assert rendered(data, "PNG").frames == 2
    assert [kind for kind, _, _ in chunks(admit(data, Limits(), Encoding()) or b"")] == [
        b"IHDR", b"acTL", b"fcTL", b"IDAT", b"fcTL", b"fdAT", b"IEND",
    ]  # fmt: skip


def test_number_of_plays_is_limited_to_31_bits() -> None:
    data = START + promise(2, plays=2**32 - 1) + control(0) + FIRST + SECOND + END
    assert shown(rendered(data, "PNG").data).info["loop"] == 2**31 - 1


def test_truncated_animation_is_corrupt() -> None:
    with pytest.raises(Unrenderable, match="corrupt"):
        rendered(SOUND[: len(SOUND) - 20], "PNG")
    with pytest.raises(Unrenderable, match="corrupt"):
        admit(SOUND[: len(SOUND) - 20], Limits())


def test_frame_pixels_without_any_fctl_are_corrupt() -> None:
    with pytest.raises(Unrenderable, match="corrupt"):
        rendered(START + promise(1) + FIRST + pixels(0, rows(BLUE)) + END, "PNG")


def test_pixels_in_tiny_chunks_are_read() -> None:
    image = Image.effect_noise((60, 40), 80)
    stream = zlib.compress(b"".join(b"\0" + image.crop((0, row, 60, row + 1)).tobytes() for row in range(40)))
    whole, tiny = (
        header(60, 40, 0) + b"".join(chunk(b"IDAT", stream[at : at + size]) for at in range(0, len(stream), size)) + END
        for size in (len(stream), 1)
    )
    assert rendered(tiny, "PNG").data == rendered(whole, "PNG").data
