"""Pictures: as stored, scaled, converted, upright (docs/contract.md, section 2)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Serve
from tests.pixels import near, shown
from tests.web.conftest import Client, Get, with_shared_client
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, quarters, saved

pytestmark = pytest.mark.usefixtures("people")


async def test_request_without_parameters_gets_the_stored_bytes(serve: Serve, get: Get, images: Path) -> None:
    client = await serve()
    response = await get(client, 1)
    assert response.status == 200
    assert response.content_type == "image/jpeg"
    assert await response.read() == (images / "1.jpg").read_bytes()
    assert response.headers["Content-Disposition"] == 'inline; filename="contact-1.jpg"'


async def test_clean_renders_at_the_size_of_the_original(serve: Serve, get: Get, images: Path) -> None:
    client = await serve(images={"as_stored": "clean"})
    response = await get(client, 5)
    seen = shown(await response.read())
    assert (seen.format, seen.size) == ("JPEG", (160, 120))
    assert not seen.getexif()
    assert (images / "5.jpg").read_bytes() != await response.read()


@with_shared_client
@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("?w=80", (80, 60)),
        ("?h=30", (40, 30)),
        ("?w=80&h=80", (80, 60)),
        ("?w=80&h=80&fit=contain", (80, 60)),
        ("?w=80&h=80&fit=cover", (80, 80)),
        ("?w=80&h=80&fit=fill", (80, 80)),
        ("?w=80&h=80&fit=pad", (80, 80)),
        ("?w=320", (320, 240)),
        ("?w=1", (1, 1)),
        ("?w=0&h=-5&type=png", (160, 120)),
        ("?w=&h=30&unknown=1&w=", (40, 30)),
        ("?W=80&H=30&FIT=Fill", (80, 30)),
    ],
)
async def test_rendition_has_the_requested_size(
    shared_client: Client, get: Get, query: str, size: tuple[int, int]
) -> None:
    response = await get(shared_client, 1, query)
    assert response.status == 200
    assert shown(await response.read()).size == size


async def test_small_originals_are_not_enlarged_when_enlarge_is_off(serve: Serve, get: Get) -> None:
    client = await serve(render={"enlarge": False})
    assert shown(await (await get(client, 1, "?w=320")).read()).size == (160, 120)


@with_shared_client
@pytest.mark.parametrize(
    ("name", "media_type", "format_"),
    [
        ("JPEG", "image/jpeg", "JPEG"),
        ("jpg", "image/jpeg", "JPEG"),
        ("Png", "image/png", "PNG"),
        ("GIF", "image/gif", "GIF"),
        ("tiff", "image/tiff", "TIFF"),
        ("tif", "image/tiff", "TIFF"),
        ("webp", "image/webp", "WEBP"),
        ("image/avif", "image/avif", "AVIF"),
    ],
)
async def test_body_is_in_the_requested_type(
    shared_client: Client, get: Get, name: str, media_type: str, format_: str
) -> None:
    response = await get(shared_client, 1, f"?w=80&type={name}", Accept="image/x-other")
    assert (response.status, response.content_type) == (200, media_type)
    seen = shown(await response.read())
    assert (seen.format, seen.size) == (format_, (80, 60))
    pixels = seen.convert("RGB")
    for at, colour in (((10, 10), RED), ((70, 10), GREEN), ((10, 50), BLUE), ((70, 50), YELLOW)):
        assert near(pixels.getpixel(at), colour, within=40)


@with_shared_client
async def test_picture_is_turned_by_its_exif_orientation(shared_client: Client, get: Get) -> None:
    seen = shown(await (await get(shared_client, 5, "?w=80&type=png")).read()).convert("RGB")
    assert seen.size == (80, 60)
    assert near(seen.getpixel((10, 10)), RED, within=40)
    assert near(seen.getpixel((10, 50)), BLUE, within=40)


@with_shared_client
async def test_transparency_is_white_in_jpeg_and_kept_in_png(shared_client: Client, get: Get) -> None:
    jpeg = shown(await (await get(shared_client, 2, "?w=80&type=jpeg")).read())
    png = shown(await (await get(shared_client, 2, "?w=80&type=png")).read())
    assert near(jpeg.getpixel((70, 30)), (255, 255, 255))
    assert png.convert("RGBA").getpixel((70, 30))[3] == 0


@with_shared_client
@pytest.mark.parametrize("name", ["gif", "png", "webp", "avif"])
async def test_animation_stays_animated(shared_client: Client, get: Get, name: str) -> None:
    seen = shown(await (await get(shared_client, 3, f"?w=16&type={name}")).read())
    assert getattr(seen, "n_frames", 1) == 3


async def test_animation_over_the_budget_is_its_first_frame_and_cache_status_names_that(serve: Serve, get: Get) -> None:
    client = await serve(render={"max_frames": 2})
    for wanted in ("fwd=miss; stored", "hit; ttl="):
        response = await get(client, 3, "?w=16&type=png")
        seen = shown(await response.read())
        assert getattr(seen, "n_frames", 1) == 1
        assert near(seen.convert("RGB").getpixel((8, 8)), RED)
        assert wanted in response.headers["Cache-Status"]
        assert "detail=first-frame" in response.headers["Cache-Status"]


@with_shared_client
@pytest.mark.parametrize("path", ["/API/V1/CONTACT/1/IMAGE", "/api/v1/contact/1/image", "/Api/v1/contacT/%31/Image"])
async def test_paths_match_in_any_letter_case(shared_client: Client, path: str) -> None:
    assert (await shared_client.get(path)).status == 200


async def test_json_holds_the_picture_in_base64(serve: Serve, get: Get, images: Path) -> None:
    client = await serve()
    response = await get(client, 1, Accept="application/json; charset=utf-8")
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert base64.b64decode(json.loads(await response.text())) == (images / "1.jpg").read_bytes()
    picture = await get(client, 1, "?w=40")
    scaled = await get(client, 1, "?w=40", Accept="application/json")
    assert base64.b64decode(json.loads(await scaled.text())) == await picture.read()
    assert scaled.headers["ETag"] != picture.headers["ETag"]


@pytest.mark.parametrize("size", [0, 1, 2, 24_575, 24_576, 24_577, 100_000])
async def test_json_and_bytes_are_complete_at_every_length(serve: Serve, get: Get, images: Path, size: int) -> None:
    data = saved(quarters(64, 48), "JPEG") + bytes(size)
    (images / "9.jpg").write_bytes(data)
    client = await serve()
    plain = await get(client, 9)
    assert await plain.read() == data
    assert int(plain.headers["Content-Length"]) == len(data)
    quoted = await get(client, 9, Accept="application/json")
    assert base64.b64decode(json.loads(await quoted.text())) == data
    assert int(quoted.headers["Content-Length"]) == len(await quoted.read())


async def test_stored_picture_too_large_to_cache_is_streamed_from_the_store(
    serve: Serve, get: Get, images: Path
) -> None:
    data = saved(quarters(64, 48), "JPEG") + bytes(range(256)) * 4_000
    (images / "9.jpg").write_bytes(data)
    client = await serve(cache={"max_entry_bytes": 10_000})
    for _ in range(2):
        response = await get(client, 9)
        assert await response.read() == data
        assert response.headers["Cache-Status"].startswith("contact-image; fwd=miss")
    quoted = await get(client, 9, Accept="application/json")
    assert base64.b64decode(json.loads(await quoted.text())) == data


@pytest.mark.parametrize("query", ["", "?w=40", "?type=webp", "?w=40&type=avif"])
async def test_head_has_the_headers_of_get(serve: Serve, get: Get, query: str) -> None:
    client = await serve()
    varying = {"Cache-Status", "Server-Timing", "Date"}
    for _ in range(2):  # not cached, then cached
        head = await get(client, 1, query, method="HEAD")
        assert await head.read() == b""
        full = await get(client, 1, query)
        wanted = {name: value for name, value in full.headers.items() if name not in varying}
        assert {name: value for name, value in head.headers.items() if name not in varying} == wanted
        assert int(head.headers["Content-Length"]) == len(await full.read())


async def test_head_of_an_uncached_rendition_renders_and_caches_it(serve: Serve, get: Get) -> None:
    client = await serve()
    assert "fwd=miss" in (await get(client, 1, "?w=41", method="HEAD")).headers["Cache-Status"]
    assert "; hit" in (await get(client, 1, "?w=41")).headers["Cache-Status"]


@with_shared_client
async def test_bmp_is_converted_even_without_parameters(shared_client: Client, get: Get) -> None:
    response = await get(shared_client, 4)
    seen = shown(await response.read())
    assert (response.content_type, seen.format, seen.size) == ("image/jpeg", "JPEG", (160, 120))


async def test_head_of_an_uncached_large_rendition_has_no_body(serve: Serve, images: Path) -> None:
    (images / "7.png").write_bytes(saved(Image.effect_noise((400, 400), 90), "PNG"))
    client = await serve()
    reader, writer = await asyncio.open_connection(client.host, client.port)
    head = b"HEAD /api/v1/Contact/7/Image?type=png&w=300 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(head + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answers = await reader.read()
    first, _, second = answers.partition(b"\r\n\r\n")
    assert int(first.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]) > 32_768
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert second.endswith(b'{"status": "alive"}')
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("seconds", [-1e11, -1, 253_402_300_800, 4_000_000_000])
async def test_last_modified_is_absent_for_dates_in_the_future_or_beyond_http(
    serve: Serve, get: Get, images: Path, seconds: float
) -> None:
    try:
        os.utime(images / "1.jpg", (seconds, seconds))
    except OSError:
        pytest.skip("this file system does not hold such a time")
    client = await serve()
    response = await get(client, 1)
    assert response.status == 200
    if (images / "1.jpg").stat().st_mtime == seconds:
        assert "Last-Modified" not in response.headers
