"""Uploads as browsers' forms send them: with inputs in which no file was chosen, or with more than one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import ClientResponse

from tests.conftest import Serve
from tests.web.test_writes import JPEG, Client, left_over, put

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


@pytest.mark.parametrize("empty", NAMELESS)
async def test_an_input_without_a_chosen_file_is_passed_over(serve: Serve, images: Path, empty: bytes) -> None:
    client = await serve(writes=ON)
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
    assert not left_over(images)


async def test_a_file_without_a_name_is_a_file_where_it_has_bytes(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    assert (await upload(client, part(JPEG, 'name="image"; filename=""'), UNCHOSEN)).status == 200
    assert (images / "7.jpg").read_bytes() == JPEG


@pytest.mark.parametrize(
    "second",
    [
        CHOSEN,
        part(JPEG, 'name="image"; filename=""'),
        part(b"x", 'name="image"'),
        part(b"", 'name="image"; filename="empty.jpg"'),
    ],
)
async def test_a_second_file_is_one_too_many(serve: Serve, images: Path, second: bytes) -> None:
    client = await serve(writes=ON)
    for parts in ((CHOSEN, second), (UNCHOSEN, second, CHOSEN), (second, UNCHOSEN, CHOSEN)):
        answer = await upload(client, *parts)
        assert answer.status == 400
        assert (await answer.json(content_type=None))["detail"] == "The body holds more than one file."
    assert not (images / "7.jpg").exists()
    assert not left_over(images)
