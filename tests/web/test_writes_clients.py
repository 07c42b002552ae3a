"""Uploads by clients that stop, trickle, leave, lie or wait to be asked, spoken by hand."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient

from tests.conftest import Serve
from tests.pictures_in_code import saved
from tests.web.test_writes import JPEG, left_over, put

ON = {"enabled": True}
PATIENCE = 60.0


class Line:
    """A connection that says what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, client: TestClient[Any, Any]) -> Line:
        assert client.port is not None
        return cls(*await asyncio.open_connection(client.host, client.port))

    async def say(self, *parts: str | bytes) -> None:
        self._writer.write(b"".join(part.encode() if isinstance(part, str) else part for part in parts))
        await self._writer.drain()

    async def hear(self) -> str:
        """The status line of the next answer; its headers are read too."""
        async with asyncio.timeout(PATIENCE):
            head = await self._reader.readuntil(b"\r\n\r\n")
        return head.split(b"\r\n")[0].decode()

    async def leave(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def request(*fields: str, contact: int = 7) -> str:
    return "\r\n".join([f"PUT /api/v1/Contact/{contact}/Image HTTP/1.1", "Host: test", *fields, "", ""])


async def nothing_is_left(images: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while left_over(images):
            await asyncio.sleep(0.02)  # the file goes when its request has ended, in a thread
    assert not (images / "7.jpg").exists()


async def test_who_stops_sending_is_told_and_dropped(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON, server={"write_timeout": 0.3})
    line = await Line.to(client)
    await line.say(request("Content-Length: 5000"), JPEG[:100])
    assert "408" in await line.hear()
    await nothing_is_left(images)
    await line.leave()


async def test_who_trickles_is_dropped_too(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON, server={"write_timeout": 0.5})
    line = await Line.to(client)
    await line.say(request("Content-Length: 5000"))
    answer = asyncio.create_task(line.hear())
    for at in range(100):
        if answer.done():
            break
        await line.say(JPEG[at : at + 1])
        await asyncio.sleep(0.05)
    assert "408" in await answer
    await nothing_is_left(images)
    await line.leave()


async def test_who_leaves_in_the_middle_leaves_nothing(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    line = await Line.to(client)
    await line.say(request(f"Content-Length: {len(JPEG)}"), JPEG[:-10])
    async with asyncio.timeout(PATIENCE):
        while not left_over(images):
            await asyncio.sleep(0.01)
    await line.leave()
    await nothing_is_left(images)


async def test_who_waits_to_be_asked_is_asked(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    line = await Line.to(client)
    await line.say(request(f"Content-Length: {len(JPEG)}", "Expect: 100-continue"))
    assert "100 Continue" in await line.hear()
    await line.say(JPEG)
    assert "200" in await line.hear()
    assert (images / "7.jpg").read_bytes() == JPEG
    await line.leave()


@pytest.mark.parametrize(
    ("field", "status"),
    [("Content-Length: 40000000", "413"), ("If-Match: *", "412"), ("Content-Encoding: gzip", "415")],
)
async def test_what_will_be_refused_is_not_asked_for(serve: Serve, images: Path, field: str, status: str) -> None:
    client = await serve(writes=ON)
    line = await Line.to(client)
    length = [] if field.startswith("Content-Length") else ["Content-Length: 5000"]
    await line.say(request(field, *length, "Expect: 100-continue"))
    assert status in await line.hear()
    await nothing_is_left(images)
    await line.leave()


async def test_uploads_at_once_are_bounded(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    lines = [await Line.to(client) for _ in range(16)]
    for number, line in enumerate(lines):
        await line.say(request("Content-Length: 5000", contact=100 + number), b"x")
    async with asyncio.timeout(PATIENCE):
        while len(left_over(images)) < 16:
            await asyncio.sleep(0.01)
    refused = await put(client, 7)
    assert refused.status == 503
    assert refused.headers["Retry-After"]
    for line in lines:
        await line.leave()
    await nothing_is_left(images)
    assert (await put(client, 7)).status == 200


FORMS = {
    "no boundary at all": ("multipart/form-data", b"--x\r\n\r\n\r\n--x--\r\n"),
    "an empty boundary": ('multipart/form-data; boundary=""', b"--x--"),
    "another boundary": ("multipart/form-data; boundary=y", b"--x\r\n\r\nbody\r\n--x--\r\n"),
    "nothing": ("multipart/form-data; boundary=x", b""),
    "cut in a header": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"; filen'),
    "cut in the file": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n' + JPEG[:500],
    ),
    "a part without an end": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n' + JPEG + b"\r\n--x",
    ),
    "a form in a form": (
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nz\r\n--y--\r\n--x--\r\n",
    ),
    "a broken disposition": (
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Disposition: \xff\xfe;;=\r\n\r\nbody\r\n--x--\r\n",
    ),
    "more parts than a form has": ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n" * 100 + b"--x--\r\n"),
    "a field larger than a form's": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 200_000 + b"\r\n--x--\r\n",
    ),
    "one line without an end": ("multipart/form-data; boundary=x", b"y" * 300_000),
    "nothing but line ends": ("multipart/form-data; boundary=x", b"\n" * 4_000_000),
    "a header without an end": ("multipart/form-data; boundary=x", b"--x\r\n" + b"a" * 300_000),
}


@pytest.mark.filterwarnings("ignore::Warning")  # aiohttp warns of what it cannot read
@pytest.mark.parametrize("name", FORMS)
async def test_a_malformed_form_is_the_client_s_fault(serve: Serve, images: Path, name: str) -> None:
    kind, body = FORMS[name]
    client = await serve(writes=ON, server={"write_timeout": 2.0})
    answer = await put(client, 7, body, Content_Type=kind)
    assert 400 <= answer.status < 500
    assert answer.content_type == "application/problem+json"
    await nothing_is_left(images)


async def test_a_chunked_body_that_breaks_off_is_no_picture(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    line = await Line.to(client)
    await line.say(request("Transfer-Encoding: chunked"), "zz\r\nnot a chunk")
    assert "400" in await line.hear()
    await nothing_is_left(images)
    await line.leave()


async def test_a_large_upload_arrives_whole(serve: Serve, images: Path) -> None:
    from PIL import Image

    data = saved(Image.effect_noise((2_000, 1_500), 90).convert("RGB"), "PNG")
    assert len(data) > 3_000_000
    client = await serve(writes=ON)
    form = FormData()
    form.add_field("file", BytesIO(data), filename="a.png", content_type="image/png")
    for contact, body in ((7, BytesIO(data)), (8, form)):
        assert (await put(client, contact, body)).status == 200
        assert (images / f"{contact}.png").read_bytes() == data
