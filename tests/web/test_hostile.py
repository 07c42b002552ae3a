"""Hostile pictures and requests: they are refused in time and at little cost, and faults are recorded."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.web.conftest import Get
from tests.web.test_coalescing import metric
from tools.pictures.drawing import animation, quarters, saved

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(pwned) (w) file\n%%EOF\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


LIE = png(64, 64, zlib.compress(b"\0"))
JPEG = saved(quarters(64, 48), "JPEG")
HUGE_GIF = b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + animation()[10:]

HOSTILE = {
    "a bomb": lambda: png(10_000, 10_000, zlib.compress(bytes(10_001) * 10_000, 9)),
    "a lying header": lambda: LIE,
    "a GIF of 4 gigapixels": lambda: HUGE_GIF,
    "half a JPEG": lambda: JPEG[: len(JPEG) // 2],
    "EPS named .jpg": lambda: EPS,
    "PDF": lambda: b"%PDF-1.7\n1 0 obj\n",
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "zeros": lambda: bytes(10_000),
    "a JPEG's first bytes": lambda: b"\xff\xd8\xff",
    "a TIFF that points at itself": lambda: b"II*\0\x08\0\0\0\x01\0" + bytes(12) + b"\x08\0\0\0",
    "a PSD": lambda: b"8BPS\0\x01" + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_picture_is_422_within_a_second_after_one_attempt(
    serve: Serve, get: Get, images: Path, name: str
) -> None:
    (images / "1.jpg").write_bytes(HOSTILE[name]())
    client = await serve()
    await client.get("/readyz")  # the worker has started
    begun = time.perf_counter()
    response = await get(client, 1, "?w=40")
    assert time.perf_counter() - begun < 10
    assert response.status == 422
    assert response.headers["Cache-Control"] == "no-store"
    started = await metric(client, "contact_image_renders_started_total")
    for query in ("?w=40", "?w=41", "?type=png"):
        assert (await get(client, 1, query)).status == 422
    assert await metric(client, "contact_image_renders_started_total") == started <= 1


async def test_truncated_jpeg_is_422_or_a_picture(serve: Serve, get: Get, images: Path) -> None:
    """It is a picture if only the last row of blocks is missing."""
    client = await serve()
    statuses = []
    for at in range(10, len(JPEG), 10):
        contact = at + 1
        (images / f"{contact}.jpg").write_bytes(JPEG[:at])
        statuses.append((await get(client, contact, "?w=20")).status)
    assert set(statuses) == {200, 422}
    assert set(statuses[: len(statuses) * 4 // 5]) == {422}


async def test_limits_follow_the_settings(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.png").write_bytes(saved(quarters(100, 100), "PNG"))
    (images / "2.png").write_bytes(saved(quarters(101, 100), "PNG"))
    client = await serve(render={"max_pixels": 10_000})
    assert (await get(client, 1, "?w=10")).status == 200
    refused = await get(client, 2, "?w=10")
    assert refused.status == 422
    assert "10,000" in await refused.text() or "10000" in await refused.text()


async def test_original_over_max_bytes_is_422_even_as_stored(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.jpg").write_bytes(JPEG)
    client = await serve(images={"max_bytes": len(JPEG) - 1})
    for query in ("", "?w=10"):
        response = await get(client, 1, query)
        assert response.status == 422
        assert str(len(JPEG)) in (await response.text()).replace(",", "")
    assert await metric(client, "contact_image_renders_started_total") == 0


async def test_repaired_picture_is_served_after_revalidation(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.jpg").write_bytes(JPEG[:200])
    client = await serve(cache={"fresh_for": 1})
    assert (await get(client, 1, "?w=20")).status == 422
    (images / "1.jpg").write_bytes(JPEG)
    deadline = time.monotonic() + 60
    while (await get(client, 1, "?w=20")).status == 422:
        assert time.monotonic() < deadline


async def test_corrupt_picture_is_served_as_stored(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.jpg").write_bytes(JPEG[:200])
    client = await serve()
    assert (await get(client, 1, "?w=20")).status == 422
    response = await get(client, 1)
    assert (response.status, await response.read()) == (200, JPEG[:200])


async def test_accept_of_eight_kilobytes_is_parsed(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.jpg").write_bytes(JPEG)
    client = await serve()
    long = ", ".join(f"image/x-{at};q=0.5" for at in range(300)) + ", image/webp"
    assert (await get(client, 1, "?w=20", Accept=long)).content_type == "image/webp"


async def test_nothing_of_the_picture_or_the_request_reaches_a_header_unescaped(
    serve: Serve, get: Get, images: Path
) -> None:
    (images / "1.jpg").write_bytes(JPEG)
    client = await serve()
    response = await get(client, 1, "?w=20&x=%0d%0aEvil:%201", Accept='image/png;p="\\"evil"')
    assert response.status == 200
    assert not [name for name in response.headers if "evil" in name.lower()]
    assert not [value for value in response.headers.values() if "evil" in value.lower()]


async def test_raised_limit_allows_the_picture_after_a_restart(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.jpg").write_bytes(JPEG)
    (images / "2.jpg").write_bytes(JPEG)
    strict = await serve(cache={"prefix": "limits", "fresh_for": 1}, images={"max_bytes": 100})
    assert (await get(strict, 1, "?w=20")).status == 422
    small = await serve(cache={"prefix": "limits", "fresh_for": 1}, render={"max_pixels": 100})
    assert (await get(small, 2, "?w=20")).status == 422
    generous = await serve(cache={"prefix": "limits", "fresh_for": 1})
    assert (await get(generous, 2, "?w=20")).status == 200
    deadline = time.monotonic() + 60
    while (await get(generous, 1, "?w=20")).status == 422:  # until it is revalidated
        assert time.monotonic() < deadline


async def test_impossible_size_costs_no_render(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.png").write_bytes(saved(quarters(4, 4_000), "PNG"))
    client = await serve()
    assert (await get(client, 1, "?w=4000")).status == 400
    assert await metric(client, "contact_image_renders_started_total") == 0
