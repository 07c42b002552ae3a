"""Colours of a PNG with a cICP chunk become sRGB for every colour type."""

from __future__ import annotations

import struct
import zlib

import pytest

from service.imaging.admission import admit
from service.imaging.containers.cicp import CodePoints
from service.imaging.order import Encoding, Limits
from service.imaging.pixels import code_points
from tests.pixels import frames_of, near, rendered, shown
from tools.pictures.png import chunk, png

P3, BT2020, SRGB, PQ = bytes((12, 13, 0, 1)), bytes((9, 13, 0, 1)), bytes((1, 13, 0, 1)), bytes((9, 16, 0, 1))
STORED = (200, 90, 70)
ROWS = {
    P3: ((1.2249, -0.2249, 0.0), (-0.0421, 1.0421, 0.0), (-0.0196, -0.0786, 1.0983)),
    BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    SRGB: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
"""Matrices from linear light in these primaries to linear light in those of sRGB."""


def in_srgb(colour: tuple[int, int, int], points: bytes) -> tuple[int, ...]:
    light = [(v / 255 / 12.92) if v / 255 <= 0.04045 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour]
    mixed = [min(1.0, max(0.0, sum(a * b for a, b in zip(row, light, strict=True)))) for row in ROWS[points]]
    return tuple(round(255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)) for v in mixed)


def stored(points: bytes, kind: str) -> bytes:
    cicp = chunk(b"cICP", points)
    if kind == "RGB":
        return png(8, 8, cicp, pixels=(b"\0" + bytes(STORED) * 8) * 8)
    if kind == "RGBA":
        return png(8, 8, cicp, colour=6, pixels=(b"\0" + (bytes(STORED) + b"\x80") * 8) * 8)
    if kind == "RGB of 16 bits":
        wide = struct.pack(">3H", *(257 * value for value in STORED))
        return png(8, 8, cicp, depth=16, pixels=(b"\0" + wide * 8) * 8)
    head = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)) + cicp + chunk(b"PLTE", bytes(3) + bytes(STORED))
    )
    body = chunk(b"IDAT", zlib.compress((b"\0" + b"\1" * 8) * 8))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND")


@pytest.mark.parametrize("points", [P3, BT2020, SRGB], ids=["Display P3", "BT.2020", "sRGB"])
@pytest.mark.parametrize("kind", ["RGB", "RGBA", "RGB of 16 bits", "palette"])
def test_code_points_of_a_png_are_applied(kind: str, points: bytes) -> None:
    data = stored(points, kind)
    for each in (data, admit(data, Limits(), Encoding()) or b""):
        made = shown(rendered(each, "PNG", 4).data).convert("RGB")
        assert near(made.getpixel((2, 2)), in_srgb(STORED, points), 3)


def test_code_points_of_a_png_apply_to_every_frame() -> None:
    body = zlib.compress((b"\0" + bytes(STORED) * 8) * 8)
    control = struct.pack(">IIIIHHBB", 8, 8, 0, 0, 1, 10, 0, 0)
    parts = [chunk(b"cICP", P3), chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", bytes(4) + control)]
    still = png(8, 8, *parts, pixels=(b"\0" + bytes(8 * 3)) * 8)
    second = chunk(b"fcTL", struct.pack(">I", 1) + control) + chunk(b"fdAT", struct.pack(">I", 2) + body)
    made = frames_of(rendered(still[:-12] + second + still[-12:], "PNG").data)
    assert [near(frame.getpixel((2, 2))[:3], want, 3) for (frame, _), want in zip(
        made, ((0, 0, 0), in_srgb(STORED, P3)), strict=True)] == [True, True]  # fmt: skip


def test_reference_white_of_pq_is_light_and_black_is_black() -> None:
    """The signal for 203 candelas per square metre is 0.58."""
    data = png(2, 1, chunk(b"cICP", PQ), pixels=b"\0" + bytes((148,) * 3) + bytes(3))
    made = shown(rendered(data, "PNG").data).convert("RGB")
    assert all(180 <= value <= 255 for value in made.getpixel((0, 0)))
    assert max(made.getpixel((1, 0))) <= 8


def test_code_points_of_grey_have_no_primaries() -> None:
    data = png(4, 4, chunk(b"cICP", P3), colour=0, pixels=(b"\0" + b"\x64" * 4) * 4)
    assert shown(rendered(data, "PNG").data).convert("RGB").getpixel((1, 1)) == (100, 100, 100)


@pytest.mark.parametrize("flag", [0, 2, 255])
def test_code_points_with_the_narrow_range_are_passed_over(flag: int) -> None:
    """Browsers show such a picture with its profile, or as sRGB."""
    assert shown(rendered(stored(P3[:3] + bytes((flag,)), "RGB"), "PNG", 4).data).getpixel((2, 2)) == STORED
    icc = chunk(b"iCCP", b"p3\0\0" + zlib.compress(code_points.profile(CodePoints(12, 13, 0, 1)) or b""))
    data = png(8, 8, chunk(b"cICP", PQ[:3] + bytes((flag,))), icc, pixels=(b"\0" + bytes(STORED) * 8) * 8)
    assert near(shown(rendered(data, "PNG", 4).data).getpixel((2, 2)), in_srgb(STORED, P3), 3)
