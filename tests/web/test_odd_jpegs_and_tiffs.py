"""Unusual JPEGs and TIFFs: those that browsers show are rendered and stored, others are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Serve
from tests.imaging.forged import tiff_of
from tests.pixels import near, shown
from tests.web.conftest import IMAGE, Get
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, animation, large, quarters, saved

JPEG = saved(quarters(120, 80), "JPEG", quality=95)
FRAME = JPEG.index(b"\xff\xc0")
PHOTO = saved(large(400, 300), "JPEG")
ONLY_NAME = b"\xff\xe0\0\x07JFIF\0"
SHOWN = {
    "JFIF segment with only its name": JPEG[:2] + ONLY_NAME + JPEG[20:],
    "JFIF twice": JPEG[:2] + ONLY_NAME + JPEG[2:],
    "Adobe of six bytes": JPEG[:20] + b"\xff\xee\0\x08Adobe\0" + JPEG[20:],
    "parts of a profile without numbers": JPEG[:20] + b"\xff\xe2\0\x0eICC_PROFILE\0" * 2 + JPEG[20:],
    "without its end marker": JPEG[:-2],
    "with half of it": JPEG[:-1],
    "with a trailer": JPEG + b"SEFT" * 10,
}
REFUSED = {
    "a JPEG cut short": (PHOTO[: len(PHOTO) // 2], 422, "The picture is corrupt."),
    "lossless": (JPEG[: FRAME + 1] + b"\xc3" + JPEG[FRAME + 2 :], 415, "JPEG (lossless) pictures are not supported."),
    "12 bits": (JPEG[: FRAME + 4] + b"\x0c" + JPEG[FRAME + 5 :], 415, "JPEG (12 bits) pictures are not supported."),
    "LZMA": (tiff_of((256, 3, 1, 8), (259, 3, 1, 34_925)), 415, "TIFF (LZMA) pictures are not supported."),
    "Zstandard": (tiff_of((256, 3, 1, 8), (259, 3, 1, 50_000)), 415, "TIFF (Zstandard) pictures are not supported."),
}


def eight_bit_palette() -> bytes:
    """Return a TIFF whose palette has values of 8 bits instead of 16."""
    image = Image.new("P", (120, 80))
    image.putpalette([part for colour in (RED, GREEN, BLUE, YELLOW) for part in colour])
    for index, corner in enumerate([(0, 0), (60, 0), (0, 40), (60, 40)]):
        image.paste(index, (*corner, corner[0] + 60, corner[1] + 40))
    data = saved(image, "TIFF")
    entries = bytearray(data)
    tag = data.index((320).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    count, at = (int.from_bytes(data[tag + each : tag + each + 4], "little") for each in (4, 8))
    for place in range(at, at + 2 * count, 2):
        value = int.from_bytes(data[place : place + 2], "little")
        entries[place : place + 2] = (value // 256).to_bytes(2, "little")
    return bytes(entries)


@pytest.mark.parametrize("name", [*SHOWN, "palette of eight bits"])
async def test_pictures_that_browsers_show_are_rendered_and_stored(
    serve: Serve, get: Get, images: Path, name: str
) -> None:
    data = SHOWN[name] if name in SHOWN else eight_bit_palette()
    (images / ("7.jpg" if name in SHOWN else "7.tif")).write_bytes(data)
    client = await serve(writes={"enabled": True})
    answer = await get(client, 7, "?w=60&type=PNG")
    assert answer.status == 200
    picture = shown(await answer.read()).convert("RGB")
    places = [(15, 10), (45, 10), (15, 30), (45, 30)]
    assert all(
        near(picture.getpixel(at), colour) for at, colour in zip(places, (RED, GREEN, BLUE, YELLOW), strict=True)
    )
    assert (await client.put(IMAGE.format(8), data=data)).status == 200
    assert (await get(client, 8, "?w=60&type=PNG")).status == 200


@pytest.mark.parametrize("name", REFUSED)
async def test_refusal_names_the_reason(serve: Serve, get: Get, images: Path, name: str) -> None:
    """A fault is 422 before and after it is recorded. An upload has the same text, and is 415 if it is sound."""
    data, status, words = REFUSED[name]
    (images / "7.jpg").write_bytes(data)
    client = await serve(writes={"enabled": True})
    for _ in range(2):
        answer = await get(client, 7, "?w=60&type=PNG")
        assert answer.status == 422
        problem = json.loads(await answer.text())
        assert (problem["detail"], problem["ErrorType"]) == (words, "SoImageException")
    answer = await client.put(IMAGE.format(8), data=data)
    assert answer.status == status
    assert json.loads(await answer.text())["detail"] == words
    german = await get(client, 7, "?w=60&type=PNG", Accept_Language="de")
    assert json.loads(await german.text())["detail"] not in (words, "")
    assert (await get(client, 7, "?w=60")).status == 422
    assert (await get(client, 8)).status == 404


async def test_animation_that_cannot_be_stripped_is_422(serve: Serve, get: Get) -> None:
    client = await serve(writes={"enabled": True, "strip_metadata": True}, render={"max_frames": 3})
    answer = await client.put(IMAGE.format(7), data=animation("AVIF", frames=6))
    assert answer.status == 422
    assert (await get(client, 7)).status == 404


async def test_picture_too_large_to_be_stripped_is_422(serve: Serve, get: Get) -> None:
    client = await serve(writes={"enabled": True, "strip_metadata": True})
    answer = await client.put(IMAGE.format(7), data=saved(Image.new("RGB", (4100, 4000)), "AVIF", speed=10))
    assert answer.status == 422
    assert "without its metadata" in json.loads(await answer.text())["detail"]
    assert (await get(client, 7)).status == 404
