"""Uploads by slow and leaving clients, and `Expect: 100-continue` (docs/contract.md, section 1)."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient

from tests.conftest import Serve
from tests.web.test_writes import JPEG, put, unfinished_uploads
from tools.pictures.drawing import saved

ON = {"enabled": True}
TIME_LIMIT = 60.0


class RawConnection:
    """A raw connection to the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, client: TestClient[Any, Any]) -> RawConnection:
        assert client.port is not None
        return cls(*await asyncio.open_connection(client.host, client.port))

    async def send(self, *parts: str | bytes) -> None:
        self._writer.write(b"".join(part.encode() if isinstance(part, str) else part for part in parts))
        await self._writer.drain()

    async def read_status(self) -> str:
        """Read the header of the next answer, and return its status line."""
        async with asyncio.timeout(TIME_LIMIT):
            head = await self._reader.readuntil(b"\r\n\r\n")
        return head.split(b"\r\n")[0].decode()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def request(*fields: str, contact: int = 7) -> str:
    return "\r\n".join([f"PUT /api/v1/Contact/{contact}/Image HTTP/1.1", "Host: localhost", *fields, "", ""])


async def assert_nothing_is_stored(images: Path) -> None:
    async with asyncio.timeout(TIME_LIMIT):
        while unfinished_uploads(images):
            await asyncio.sleep(0.02)  # a thread removes the file after the request
    assert not (images / "7.jpg").exists()


async def test_upload_that_stops_is_408(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON, server={"write_timeout": 0.3})
    line = await RawConnection.open(client)
    await line.send(request("Content-Length: 5000"), JPEG[:100])
    assert "408" in await line.read_status()
    await assert_nothing_is_stored(images)
    await line.close()


async def test_upload_that_trickles_is_408(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON, server={"write_timeout": 0.5})
    line = await RawConnection.open(client)
    await line.send(request("Content-Length: 5000"))
    answer = asyncio.create_task(line.read_status())
    for at in range(100):
        if answer.done():
            break
        await line.send(JPEG[at : at + 1])
        await asyncio.sleep(0.05)
    assert "408" in await answer
    await assert_nothing_is_stored(images)
    await line.close()


async def test_upload_of_a_leaving_client_is_discarded(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    line = await RawConnection.open(client)
    await line.send(request(f"Content-Length: {len(JPEG)}"), JPEG[:-10])
    async with asyncio.timeout(TIME_LIMIT):
        while not unfinished_uploads(images):
            await asyncio.sleep(0.01)
    await line.close()
    await assert_nothing_is_stored(images)


async def test_expectation_is_answered_with_100_continue(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    line = await RawConnection.open(client)
    await line.send(request(f"Content-Length: {len(JPEG)}", "Expect: 100-continue"))
    assert "100 Continue" in await line.read_status()
    await line.send(JPEG)
    assert "200" in await line.read_status()
    assert (images / "7.jpg").read_bytes() == JPEG
    await line.close()


@pytest.mark.parametrize(
    ("field", "status"),
    [("Content-Length: 40000000", "413"), ("If-Match: *", "412"), ("Content-Encoding: gzip", "415")],
)
async def test_upload_that_will_be_refused_gets_no_100_continue(
    serve: Serve, images: Path, field: str, status: str
) -> None:
    client = await serve(writes=ON)
    line = await RawConnection.open(client)
    length = [] if field.startswith("Content-Length") else ["Content-Length: 5000"]
    await line.send(request(field, *length, "Expect: 100-continue"))
    assert status in await line.read_status()
    await assert_nothing_is_stored(images)
    await line.close()


async def test_number_of_concurrent_uploads_is_bounded(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    lines = [await RawConnection.open(client) for _ in range(16)]
    for number, line in enumerate(lines):
        await line.send(request("Content-Length: 5000", contact=100 + number), b"x")
    async with asyncio.timeout(TIME_LIMIT):
        while len(unfinished_uploads(images)) < 16:
            await asyncio.sleep(0.01)
    refused = await put(client, 7)
    assert refused.status == 503
    assert refused.headers["Retry-After"]
    for line in lines:
        await line.close()
    await assert_nothing_is_stored(images)
    assert (await put(client, 7)).status == 200


async def trickle(client: TestClient[Any, Any], addresses: list[str], images: Path) -> list[RawConnection]:
    """Begin an upload of one byte from each of *addresses*."""
    lines = []
    for number, address in enumerate(addresses):
        lines.append(await RawConnection.open(client))
        fields = ("Content-Length: 5000", f"X-Forwarded-For: {address}")
        await lines[-1].send(request(*fields, contact=100 + number), b"x")
        async with asyncio.timeout(TIME_LIMIT):
            while len(unfinished_uploads(images)) <= number:
                await asyncio.sleep(0.01)
    return lines


async def test_slow_uploads_of_one_client_keep_no_other_client_out(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON, server={"trusted_proxies": ["127.0.0.1"]})
    lines = await trickle(client, ["192.0.2.1"] * 16, images)
    assert (await put(client, 7, X_Forwarded_For="192.0.2.1")).status == 503
    for number in range(3):  # each takes the place of the newest upload of the client with the most
        assert (await put(client, 7 + number, X_Forwarded_For=f"192.0.2.{2 + number}")).status == 200
    assert await lines[15].read_status() == "HTTP/1.1 503 Service Unavailable"
    for line in lines:
        await line.close()
    async with asyncio.timeout(TIME_LIMIT):
        while unfinished_uploads(images):
            await asyncio.sleep(0.02)
    assert {each.name for each in images.glob("*.jpg")} == {"7.jpg", "8.jpg", "9.jpg"}


async def test_uploads_of_many_clients_take_no_places_from_one_another(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON, server={"trusted_proxies": ["127.0.0.1"]})
    lines = await trickle(client, [f"192.0.2.{number}" for number in range(16)], images)
    assert (await put(client, 7, X_Forwarded_For="192.0.2.100")).status == 503
    assert len(unfinished_uploads(images)) == 16
    for line in lines:
        await line.close()
    await assert_nothing_is_stored(images)


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
    "too many parts": ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n" * 100 + b"--x--\r\n"),
    "a large field": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 200_000 + b"\r\n--x--\r\n",
    ),
    "one line without an end": ("multipart/form-data; boundary=x", b"y" * 300_000),
    "nothing but line ends": ("multipart/form-data; boundary=x", b"\n" * 4_000_000),
    "a header without an end": ("multipart/form-data; boundary=x", b"--x\r\n" + b"a" * 300_000),
}


@pytest.mark.filterwarnings("ignore::Warning")  # aiohttp warns of malformed forms
async def test_malformed_form_is_4xx(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON, server={"write_timeout": 2.0})
    for name, (kind, body) in FORMS.items():
        answer = await put(client, 7, body, Content_Type=kind)
        assert 400 <= answer.status < 500, name
        assert answer.content_type == "application/problem+json", name
        await assert_nothing_is_stored(images)


async def test_malformed_chunk_is_400(serve: Serve, images: Path) -> None:
    client = await serve(writes=ON)
    line = await RawConnection.open(client)
    await line.send(request("Transfer-Encoding: chunked"), "zz\r\nnot a chunk")
    assert "400" in await line.read_status()
    await assert_nothing_is_stored(images)
    await line.close()


async def test_large_upload_is_stored_whole(serve: Serve, images: Path) -> None:
    from PIL import Image

    data = saved(Image.effect_noise((2_000, 1_500), 90).convert("RGB"), "PNG")
    assert len(data) > 3_000_000
    client = await serve(writes=ON)
    form = FormData()
    form.add_field("file", BytesIO(data), filename="a.png", content_type="image/png")
    for contact, body in ((7, BytesIO(data)), (8, form)):
        assert (await put(client, contact, body)).status == 200
        assert (images / f"{contact}.png").read_bytes() == data
