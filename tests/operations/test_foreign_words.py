"""Text in a picture reaches no header, no problem body and no log event, even if the picture is broken."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from service.errors import BadParameter, Unrenderable
from tests.operations.running import running
from tests.pixels import rendered
from tools.pictures.drawing import quarters, saved
from tools.pictures.png import chunk, png

MARK = "pwned"
WORDS = f"{MARK}\r\nSet-Cookie: {MARK}=1\r\n\r\n\x1b[31m<script>{MARK}</script>\0%s{{0}}\N{RIGHT-TO-LEFT OVERRIDE}"
BYTES = WORDS.encode()


def profile() -> bytes:
    """Return the profile sRGB with another name of the same length."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    old = "sRGB built-in".encode("utf-16-be")
    return data.replace(old, "\r\n<b>pwned\x1b[".encode("utf-16-be")[: len(old)].ljust(len(old), b"\0"))


def exif() -> bytes:
    tags = Image.Exif()
    tags[270], tags[305], tags[315] = WORDS, WORDS, WORDS
    return tags.tobytes()


def with_words() -> dict[str, bytes]:
    """Return sound pictures with the words in every text field of their formats."""
    metadata: dict[str, Any] = {"exif": exif(), "icc_profile": profile()}
    words = PngImagePlugin.PngInfo()
    words.add_text(MARK, WORDS)
    words.add_itxt(MARK, WORDS, "en", MARK)
    words.add_text(f"{MARK}z", WORDS, zip=True)
    return {
        "jpg": saved(quarters(), "JPEG", comment=BYTES, xmp=BYTES, **metadata),
        "png": saved(quarters(), "PNG", pnginfo=words, **metadata),
        "gif": saved(quarters(), "GIF", comment=BYTES),
        "tif": saved(quarters(), "TIFF", **metadata),
        "webp": saved(quarters(), "WEBP", xmp=BYTES, **metadata),
        "avif": saved(quarters(), "AVIF", xmp=BYTES, **metadata),
    }


def quoted() -> dict[str, bytes]:
    """Return broken pictures whose bytes Pillow quotes in an exception or a warning."""
    sound = saved(quarters(), "PNG")
    tiff = saved(quarters(), "TIFF", software=MARK)
    return {
        "chunk name": sound[:33] + struct.pack(">I", 2**31 - 1) + b"pw\r\n" + BYTES,
        "text too long": png(4, 4, chunk(b"zTXt", BYTES[:5] + b"\0\0" + zlib.compress(bytes(2_000_000)))),
        "text method": png(4, 4, chunk(b"zTXt", BYTES[:5] + b"\0\7" + BYTES)),
        "profile method": png(4, 4, chunk(b"iCCP", BYTES[:5] + b"\0\7" + BYTES)),
        "tag type": tiff.replace(struct.pack("<HH", 305, 2), struct.pack("<HH", 305, 0x0A0D)),
        "mode": tiff.replace(struct.pack("<HHI", 262, 3, 1), struct.pack("<HHI", 262, 3, 0x0A0D)),
        "exif": saved(quarters(), "JPEG", exif=b"Exif\0\0" + BYTES),
        "marker": b"\xff\xd8\xff\xe0" + struct.pack(">H", len(BYTES) + 2) + BYTES + b"\xff\x01" + BYTES,
        "no format": b"%!PS-" + BYTES,
        "bmp header": b"BM" + BYTES.ljust(60, b"\n"),
    }


PICTURES = {f"{name} with words": data for name, data in with_words().items()} | quoted()


@pytest.mark.parametrize("name", PICTURES)
def test_error_quotes_nothing_of_the_picture(name: str) -> None:
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF"):
        try:
            assert MARK.encode() not in rendered(PICTURES[name], kind, 16).data
        except (Unrenderable, BadParameter) as error:
            assert_clean(str(error))
            assert_clean(repr(error.values))
            assert error.__cause__ is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the service is observed in /proc")
def test_no_text_of_a_picture_leaves_the_service(tmp_path: Path) -> None:
    for number, (name, data) in enumerate(PICTURES.items(), 1):
        suffix = name.removesuffix(" with words") if name.endswith(" with words") else "jpg"
        (tmp_path / f"{number}.{suffix}").write_bytes(data)
    statuses = set()
    with running("--images", tmp_path, CONTACT_IMAGE_LOG__LEVEL="DEBUG", CONTACT_IMAGE_RENDER__WORKERS="1") as service:
        for number in range(1, len(PICTURES) + 1):
            for query in ("", "?w=20", "?w=20&type=png", "?w=20&type=avif"):
                answer = service.get(f"/api/v1/Contact/{number}/Image{query}", {"Accept": "image/*"})
                statuses.add(answer.status)
                assert_clean(repr(answer.headers))
                if query:  # without a query, a sound picture is sent as it is stored
                    assert_clean(answer.body.decode("latin-1"))
                info = service.get(f"/api/v1/Contact/{number}/Imageinfo")
                assert_clean(repr(info.headers) + info.body.decode("latin-1"))
        logged, printed = service.logged, service.printed
    assert statuses == {200, 422}
    assert_clean(logged + printed)
    lines = [json.loads(line) for line in logged.splitlines()]
    assert len(lines) > len(PICTURES)  # every line is one event


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the service is observed in /proc")
def test_no_text_of_a_form_is_logged(tmp_path: Path) -> None:
    """The library that reads forms warns of a malformed `Content-Disposition`, and quotes it."""
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    with running("--images", tmp_path, CONTACT_IMAGE_WRITES__ENABLED="true") as service:
        for field in (f'form-data; name="{MARK}', f"form-data; name*={MARK}", f"form-data; {MARK}", f"{MARK}?"):
            body = f"--b\r\nContent-Disposition: {field}\r\nContent-Type: image/png\r\n\r\n1\r\n--b--\r\n"
            answer = service.get("/api/v1/Contact/1/Image", form, method="PUT", body=body.encode())
            assert answer.status in (400, 415)
        logged, printed = service.logged, service.printed
    assert_clean(logged + printed)


def assert_clean(text: str) -> None:
    for foreign in (MARK, "Set-Cookie", "<script", "\x1b[31m", "pw\\r\\n", "\N{RIGHT-TO-LEFT OVERRIDE}"):
        assert foreign not in text
