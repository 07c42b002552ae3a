"""Unusual PNGs that every browser shows: they are rendered, stored, and stored without metadata."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from service.imaging.containers.png.chunks import chunks, sound
from tests.conftest import Serve
from tests.pixels import near, shown
from tests.web.conftest import IMAGE, Get
from tools.pictures.png import chunk, png

CORNERS = {(15, 10): (220, 30, 30), (45, 10): (30, 160, 60), (15, 30): (40, 60, 200), (45, 30): (240, 220, 40)}
CONTENTS = {
    "gAMA": (45_455).to_bytes(4, "big"), "cHRM": bytes(32), "sRGB": b"\0", "pHYs": bytes(9), "tEXt": b"Title\0text",
    "zTXt": b"Title\0\0" + zlib.compress(b"text"), "iTXt": b"Title\0\0\0en\0\0text", "tIME": bytes(7),
    "iCCP": b"icc\0\0" + zlib.compress(bytes(400)), "eXIf": b"II*\0\x08\0\0\0" + bytes(6), "bKGD": bytes(6),
    "sBIT": b"\5\5\5", "cICP": bytes((12, 13, 0, 1)), "prVt": b"abc",
}  # fmt: skip


def quartered(*more: bytes) -> bytes:
    image = Image.new("RGB", (120, 80))
    for (left, top), colour in CORNERS.items():
        image.paste(colour, (left // 30 * 60, top // 20 * 40, left // 30 * 60 + 60, top // 20 * 40 + 40))
    rows = b"".join(b"\0" + image.crop((0, row, 120, row + 1)).tobytes() for row in range(80))
    return png(120, 80, *more, pixels=rows)


def with_large_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(1_500_000)
    return quartered(chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile)))


def spoilt(kind: str) -> bytes:
    """Return a chunk with a wrong checksum."""
    one = chunk(kind.encode(), CONTENTS[kind])
    return one[:-1] + bytes((one[-1] ^ 1,))


ODD = {
    **{f"checksum of {kind}": quartered(spoilt(kind)) for kind in CONTENTS},
    "a profile of 1.5 MB": with_large_profile(),
    "a text of 1.5 MB": quartered(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_500_000)))),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_png_is_rendered_stored_and_stripped(serve: Serve, get: Get, images: Path, name: str) -> None:
    (images / "7.png").write_bytes(ODD[name])
    for strip in (False, True):
        client = await serve(writes={"enabled": True, "strip_metadata": strip})
        answer = await client.put(IMAGE.format(8), data=ODD[name], headers={"Content-Type": "image/png"})
        assert answer.status == 200, await answer.text()
        for contact in (7, 8):
            made = await get(client, contact, "?w=60&type=PNG")
            assert (made.status, made.content_type) == (200, "image/png")
            seen = shown(await made.read()).convert("RGB")
            assert seen.size == (60, 40)
            assert all(near(seen.getpixel(place), colour, 8) for place, colour in CORNERS.items())
    stored = (images / "8.png").read_bytes()
    assert all(sound(stored, each) for each in chunks(stored))


async def test_png_with_a_wrong_chunk_length_is_corrupt(serve: Serve, get: Get, images: Path) -> None:
    data = quartered(b"\x7f\xff\xff\xffgAMA" + bytes(8))
    (images / "7.png").write_bytes(data)
    client = await serve(writes={"enabled": True})
    assert (await get(client, 7, "?w=60")).status == 422
    assert (await client.put(IMAGE.format(8), data=data)).status == 422
    assert not (images / "8.png").exists()
