"""Stored TIFFs: browsers do not show TIFF, so they get a format that they show (docs/contract.md, section 2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.pixels import near, shown
from tests.web.conftest import IMAGE, Get
from tools.pictures.drawing import BLUE, RED, quarters, saved, see_through

BROWSERS = {
    "Chrome": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "Firefox": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "Safari": "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,"
    "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "Firefox 60": "*/*;q=0.1, image/jpeg",
    "of wildcards and SVG": "image/svg+xml,image/*;q=0.8,*/*;q=0.5",
}
SHOWN = {"image/avif", "image/webp", "image/png", "image/jpeg", "image/gif"}


@pytest.fixture(autouse=True)
def tiffs(images: Path) -> Path:
    """6: an opaque TIFF; 7: one with alpha."""
    (images / "6.tif").write_bytes(saved(quarters(80, 60), "TIFF"))
    (images / "7.tif").write_bytes(saved(see_through(80, 60), "TIFF"))
    return images


@pytest.mark.parametrize("accept", BROWSERS.values(), ids=BROWSERS)
async def test_browsers_get_a_format_that_they_show(serve: Serve, get: Get, accept: str) -> None:
    client = await serve()
    for contact in (6, 7):
        for query in ("", "?w=40"):
            full = await get(client, contact, query, Accept=accept)
            assert full.status == 200
            assert full.content_type in SHOWN
            seen = shown(await full.read())
            assert seen.size == ((40, 30) if query else (80, 60))
            assert near(seen.convert("RGB").getpixel((4, 4)), RED, 24)
            if contact == 6:
                assert near(seen.convert("RGB").getpixel((4, seen.height - 4)), BLUE, 24)
            elif full.content_type != "image/jpeg":
                assert seen.convert("RGBA").getpixel((seen.width - 4, 4))[3] == 0  # type: ignore[index]
            head = await get(client, contact, query, method="HEAD", Accept=accept)
            unchanged = await get(client, contact, query, Accept=accept, If_None_Match=full.headers["ETag"])
            assert (head.status, unchanged.status) == (200, 304)
            assert head.headers["Content-Type"] == full.headers["Content-Type"]
            assert "Accept-Ranges" not in full.headers
            part = await get(client, contact, query, Accept=accept, Range="bytes=0-9")
            assert (part.status, await part.read()) == (200, await full.read())


@pytest.mark.parametrize("accept", ["*/*", "image/*", "image/tiff, image/png", "image/webp, image/tiff;q=0.1", ""])
async def test_tiff_is_sent_as_stored_if_accept_names_it_or_no_format(
    serve: Serve, get: Get, tiffs: Path, accept: str
) -> None:
    client = await serve()
    stored = (tiffs / "6.tif").read_bytes()
    full = await get(client, 6, Accept=accept)
    assert (full.content_type, await full.read()) == ("image/tiff", stored)
    part = await get(client, 6, Accept=accept, Range="bytes=2-9")
    assert (part.status, await part.read()) == (206, stored[2:10])


@pytest.mark.parametrize("as_stored", ["verbatim", "clean"])
async def test_etag_of_a_write_is_that_of_the_tiff(serve: Serve, get: Get, as_stored: str) -> None:
    client = await serve(writes={"enabled": True}, images={"as_stored": as_stored})
    put = await client.put(IMAGE.format(6), data=saved(quarters(90, 60), "TIFF"))
    assert put.status == 200
    plain = await get(client, 6)
    assert (plain.content_type, plain.headers["ETag"]) == ("image/tiff", put.headers["ETag"])
    browser = await get(client, 6, Accept=BROWSERS["Chrome"])
    assert browser.headers["ETag"] != put.headers["ETag"]
    for tag, status in ((browser.headers["ETag"], 412), (put.headers["ETag"], 204)):
        assert (await client.delete(IMAGE.format(6), headers={"If-Match": tag})).status == status
