"""Writes over HTTP: what is stored, what is refused, and what later requests get (docs/contract.md, section 1)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, FormData
from aiohttp.test_utils import TestClient

from tests.conftest import Serve, Valkey
from tests.pixels import shown
from tests.web.conftest import IMAGE, Get
from tools.pictures.drawing import animation, large, quarters, saved
from tools.pictures.png import png

Client = TestClient[Any, Any]
ServeWritable = Callable[..., Awaitable[Client]]

JPEG = saved(quarters(160, 120), "JPEG", quality=95)
OTHER = saved(quarters(120, 160), "JPEG", quality=95)


@pytest.fixture
def serve_writable(serve: Serve) -> ServeWritable:
    async def start(**sections: Any) -> Client:
        return await serve(**{"writes": {"enabled": True}} | sections)

    return start


async def put(client: Client, contact: object, data: Any = JPEG, method: str = "PUT", **headers: str) -> ClientResponse:
    named = {"Content-Type": "image/jpeg"} if isinstance(data, bytes) else {}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.request(method, IMAGE.format(contact), data=data, headers=named)
    await response.read()
    return response


def form(**files: bytes) -> FormData:
    data = FormData({"comment": "a photo"})
    for name, content in files.items():
        data.add_field(name, content, filename="../../etc/passwd", content_type="image/png")
    return data


def unfinished_uploads(images: Path) -> list[Path]:
    return [path for path in (images / ".uploads").glob("*") if path.name != "lock"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("formed", [False, True])
async def test_get_returns_the_picture_that_was_put(
    serve_writable: ServeWritable, get: Get, images: Path, method: str, formed: bool
) -> None:
    client = await serve_writable()
    assert (await get(client, 7)).status == 404
    answer = await put(client, 7, form(anything=JPEG) if formed else JPEG, method)
    assert answer.status == 200
    picture = await get(client, 7)
    assert await picture.read() == JPEG == (images / "7.jpg").read_bytes()
    assert [path.name for path in images.iterdir() if path.name != ".uploads"] == ["7.jpg"]
    assert picture.headers["ETag"] == answer.headers["ETag"]
    assert (await get(client, 7, If_None_Match=answer.headers["ETag"])).status == 304
    assert not unfinished_uploads(images)


async def test_answer_is_the_blob_id_of_imageinfo(serve_writable: ServeWritable) -> None:
    client = await serve_writable()
    answer = await put(client, 7)
    assert answer.content_type == "application/json"
    blob = json.loads(await answer.text())
    assert 0 < blob < 2**31
    info = await client.get("/api/v1/Contact/7/Imageinfo")
    assert (await info.json())["BlobId"] == blob
    assert json.loads(await (await put(client, 7)).text()) != blob  # the same bytes, and another version


async def test_bytes_decide_the_format_and_not_the_content_type(
    serve_writable: ServeWritable, get: Get, images: Path
) -> None:
    client = await serve_writable()
    suffixes = {"PNG": "png", "GIF": "gif", "TIFF": "tif", "WEBP": "webp", "AVIF": "avif"}
    for contact, (kind, suffix) in enumerate(suffixes.items(), 7):
        data = saved(quarters(), kind)
        assert (await put(client, contact, data, Content_Type="image/jpeg")).status == 200
        assert (images / f"{contact}.{suffix}").read_bytes() == data
        assert (await get(client, contact)).content_type == f"image/{kind.lower()}"


async def test_picture_keeps_its_file_name_when_its_format_changes(
    serve_writable: ServeWritable, get: Get, images: Path
) -> None:
    (images / "7.png").write_bytes(saved(quarters(), "PNG"))
    client = await serve_writable()
    assert (await get(client, 7)).content_type == "image/png"
    assert (await put(client, 7)).status == 200
    assert (images / "7.png").read_bytes() == JPEG
    assert not (images / "7.jpg").exists()
    assert (await get(client, 7)).content_type == "image/jpeg"


async def test_new_picture_is_stored_in_an_existing_shard(serve_writable: ServeWritable, images: Path) -> None:
    (images / "567").mkdir()
    client = await serve_writable()
    await put(client, 1234567)
    await put(client, 1234568)
    assert (images / "567" / "1234567.jpg").exists()
    assert (images / "1234568.jpg").exists()


async def test_put_renews_every_rendition_in_every_process(
    serve_writable: ServeWritable, get: Get, images: Path
) -> None:
    """Two applications share a Valkey server. The memory of both holds the old picture."""
    shared = {"prefix": f"writes-{time.monotonic_ns()}", "fresh_for": 3600}
    here = await serve_writable(cache=shared, images={"watch": False})
    there = await serve_writable(cache=shared, images={"watch": False})
    await put(here, 7)
    for round in range(6):
        for client in (here, there):  # fill both memories
            for query in ("", "?w=40", "?w=40&type=PNG"):
                await get(client, 7, query)
        data = (OTHER, JPEG)[round % 2]
        answer = await put((here, there)[round % 2], 7, data)
        await asyncio.sleep(0.05)
        for client in (here, there):
            picture = await get(client, 7)
            assert await picture.read() == data
            assert picture.headers["ETag"] == answer.headers["ETag"]
            small = shown(await (await get(client, 7, "?w=40")).read())
            assert small.size == ((40, 53), (40, 30))[round % 2]


async def test_delete_removes_all_files_and_cached_entries_of_a_picture(
    serve_writable: ServeWritable, get: Get, images: Path
) -> None:
    (images / "007").mkdir()
    names = ["7.jpg", "7.png", "7.WEBP", "007/7.gif"]
    for name in names:
        (images / name).write_bytes(JPEG)
    (images / "17.jpg").write_bytes(JPEG)
    client = await serve_writable(cache={"fresh_for": 3600})
    assert (await get(client, 7)).status == 200
    answer = await put(client, 7, None, "DELETE")
    assert (answer.status, await answer.read()) == (204, b"")
    assert not [name for name in names if (images / name).exists()]
    assert (images / "17.jpg").exists()
    assert (await get(client, 7)).status == 404
    assert (await put(client, 7, None, "DELETE")).status == 204
    assert (await put(client, 0, None, "DELETE")).status == 204


async def test_purge_removes_cached_entries_and_keeps_the_picture(
    serve_writable: ServeWritable, get: Get, images: Path
) -> None:
    (images / "7.jpg").write_bytes(JPEG)
    client = await serve_writable()
    for _ in range(2):
        await get(client, 7, "?w=20")
    assert "hit" in (await get(client, 7, "?w=20")).headers["Cache-Status"]
    assert (await put(client, 7, None, "PURGE")).status == 204
    assert "fwd=miss" in (await get(client, 7, "?w=20")).headers["Cache-Status"]
    assert (images / "7.jpg").exists()


async def test_writes_are_refused_until_they_are_enabled(serve: Serve, get: Get, images: Path) -> None:
    (images / "7.jpg").write_bytes(OTHER)
    client = await serve()
    for method in ("PUT", "POST", "DELETE", "PURGE"):
        answer = await put(client, 7, JPEG, method)
        assert answer.status == 403, method
        problem = json.loads(await answer.text())
        assert "writes.enabled" in problem["detail"]
        assert "CONTACT_IMAGE_WRITES__ENABLED=true" in problem["detail"]
        assert await (await get(client, 7)).read() == OTHER
        assert not (images / ".uploads").exists()


async def test_allow_lists_the_methods(serve_writable: ServeWritable) -> None:
    client = await serve_writable()
    everything = "GET, HEAD, PUT, POST, DELETE, PURGE, OPTIONS"
    answer = await put(client, 7, None, "OPTIONS")
    assert (answer.status, answer.headers["Allow"]) == (204, everything)
    answer = await put(client, 7, None, "PATCH")
    assert (answer.status, answer.headers["Allow"]) == (405, everything)


TRUNCATED = saved(large(400, 300), "JPEG")[:-2_000]
BOMB = png(30_000, 30_000, pixels=b"")
REFUSED = {
    "nothing": (b"", 400),
    "a form without a file": (None, 400),
    "text": (b"Hello, I am a picture.", 415),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
    "too many bytes": (JPEG + bytes(200_000), 413),
    "a truncated jpeg": (TRUNCATED, 422),
    "a truncated png": (saved(large(200, 150), "PNG")[:-3_000], 422),
    "a truncated animation": (animation("WEBP")[:-40], 422),
    "a bomb": (BOMB, 422),
}


@pytest.mark.parametrize("chunked", [False, True])
async def test_refused_upload_leaves_the_old_picture(
    serve_writable: ServeWritable, get: Get, images: Path, chunked: bool
) -> None:
    (images / "7.jpg").write_bytes(OTHER)
    client = await serve_writable(images={"max_bytes": 150_000})
    for name, (body, status) in REFUSED.items():
        data = FormData({"comment": "no photo"}, default_to_multipart=True) if body is None else body
        answer = await put(client, 7, _pieces(body) if body and chunked else data)
        assert answer.status == status, name
        assert answer.content_type == "application/problem+json", name
        if status == 400:
            assert json.loads(await answer.text())["detail"] == "Image bitmap is missing from body."
        assert await (await get(client, 7)).read() == OTHER, name
        assert not unfinished_uploads(images), name


async def _pieces(body: bytes) -> Any:
    for at in range(0, len(body), 10_000):
        yield body[at : at + 10_000]


async def test_form_with_two_files_is_refused(serve_writable: ServeWritable, images: Path) -> None:
    client = await serve_writable()
    answer = await put(client, 7, form(one=JPEG, two=OTHER))
    assert answer.status == 400
    assert not (images / "7.jpg").exists()
    assert not unfinished_uploads(images)


async def test_encoded_body_is_refused(serve_writable: ServeWritable) -> None:
    client = await serve_writable()
    assert (await put(client, 7, JPEG, Content_Encoding="br")).status == 415


@pytest.mark.parametrize("contact", [0, -1])
async def test_picture_of_an_impossible_contact_is_refused(
    serve_writable: ServeWritable, images: Path, contact: int
) -> None:
    client = await serve_writable()
    assert (await put(client, contact)).status == 404
    assert not [path for path in images.iterdir() if path.name != ".uploads"]


@pytest.mark.parametrize("contact", ["abc", "2147483648", "..%2F..%2Fetc"])
async def test_id_that_is_not_an_int32_is_400(serve_writable: ServeWritable, contact: str) -> None:
    client = await serve_writable()
    assert (await put(client, contact)).status == 400


async def test_write_succeeds_without_redis_and_is_visible_at_once(
    serve_writable: ServeWritable, get: Get, own_valkey: Valkey
) -> None:
    client = await serve_writable(url=own_valkey.url)
    await put(client, 7)
    await get(client, 7)
    own_valkey.stop()
    begun = time.monotonic()
    assert (await put(client, 7, OTHER)).status == 200
    assert time.monotonic() - begun < 20
    assert await (await get(client, 7)).read() == OTHER


async def test_orientation_is_kept_when_metadata_is_stripped(
    serve_writable: ServeWritable, get: Get, images: Path
) -> None:
    from PIL import Image

    lying = Image.Exif()
    lying[0x0112], lying[0x010E] = 6, "taken at 59.33 N, 18.07 E"
    data = saved(quarters(160, 120).rotate(90, expand=True), "JPEG", quality=95, exif=lying)
    client = await serve_writable(writes={"enabled": True, "strip_metadata": True})
    assert (await put(client, 7, data)).status == 200
    stored = (images / "7.jpg").read_bytes()
    assert b"59.33" in data
    assert b"59.33" not in stored
    assert shown(await (await get(client, 7, "?w=40")).read()).size == (40, 30)


async def test_rapid_writes_have_different_dates(serve_writable: ServeWritable, get: Get, images: Path) -> None:
    client = await serve_writable()
    seconds = set()
    for data in (JPEG, OTHER, JPEG, OTHER):
        await put(client, 7, data)
        seconds.add(int((images / "7.jpg").stat().st_mtime))
    assert len(seconds) == 4
    assert max(seconds) < time.time() + 5
