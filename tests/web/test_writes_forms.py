"""Uploads by forms: inputs without a chosen file, and several files (docs/contract.md, section 1)."""

from __future__ import annotations

from pathlib import Path

from aiohttp import ClientResponse

from tests.conftest import Serve
from tests.web.test_writes import JPEG, Client, put, unfinished_uploads

ON = {"enabled": True}


def part(data: bytes, disposition: str, kind: str = "application/octet-stream") -> bytes:
    head = f"--x\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n"
    return head.encode() + data + b"\r\n"


UNCHOSEN = part(b"", 'name="image"; filename=""')
NAMELESS = [
    UNCHOSEN,
    part(b"", 'name="image"; filename=""', "image/png"),
    part(b"", 'name="image"; filename=""', "text/plain"),
    part(b"", "name=\"image\"; filename*=UTF-8''"),
    part(b"", 'name="image"'),
]
CHOSEN = part(JPEG, 'name="image"; filename="a.jpg"', "image/jpeg")
FORM = "multipart/form-data; boundary=x"


async def upload(client: Client, *parts: bytes) -> ClientResponse:
    return await put(client, 7, b"".join(parts) + b"--x--\r\n", Content_Type=FORM)


async def test_input_without_a_chosen_file_is_ignored(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    for empty in NAMELESS:
        await assert_ignored(client, images, empty)


async def assert_ignored(client: Client, images: Path, empty: bytes) -> None:
    comment = part(b"hello", 'name="comment"', "text/plain")
    for parts in ((empty, CHOSEN), (CHOSEN, empty), (empty, comment, empty, CHOSEN, empty)):
        assert (await upload(client, *parts)).status == 200
        assert (images / "7.jpg").read_bytes() == JPEG
        (images / "7.jpg").unlink()
    for parts in ((empty,), (empty, comment, empty)):
        answer = await upload(client, *parts)
        assert answer.status == 400
        assert (await answer.json(content_type=None))["detail"] == "Image bitmap is missing from body."
    assert not (images / "7.jpg").exists()
    assert not unfinished_uploads(images)


async def test_file_with_bytes_needs_no_name(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    assert (await upload(client, part(JPEG, 'name="image"; filename=""'), UNCHOSEN)).status == 200
    assert (images / "7.jpg").read_bytes() == JPEG


async def test_second_file_is_refused(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    for second in (
        CHOSEN,
        part(JPEG, 'name="image"; filename=""'),
        part(b"x", 'name="image"'),
        part(b"", 'name="image"; filename="empty.jpg"'),
    ):
        for parts in ((CHOSEN, second), (UNCHOSEN, second, CHOSEN), (second, UNCHOSEN, CHOSEN)):
            answer = await upload(client, *parts)
            assert answer.status == 400, second
            assert (await answer.json(content_type=None))["detail"] == "The body holds more than one file."
    assert not (images / "7.jpg").exists()
    assert not unfinished_uploads(images)
