"""A file with the same bytes and times has the same ETag and blob id on every server (docs/contract.md, section 6)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.web.keys import CACHE
from tests.conftest import Serve
from tests.privileges import open_folder, unprivileged
from tests.web.conftest import Get
from tools.pictures.drawing import large, quarters, saved

JPEG = saved(quarters(), "JPEG")


@pytest.fixture(params=["small", "streamed"])
def data(request: pytest.FixtureRequest) -> bytes:
    """A JPEG that is sent at once, and one that is streamed."""
    return JPEG if request.param == "small" else saved(large(), "JPEG", quality=95)


async def etag_and_blob_id(client: Any, get: Get) -> list[object]:
    queries = ("", "?w=20", "?w=20&type=png")
    tags: list[object] = [(await get(client, 1, query)).headers["ETag"] for query in queries]
    return [*tags, (await (await client.get("/api/v1/Contact/1/Imageinfo")).json())["BlobId"]]


async def test_two_servers_behind_one_cdn_send_the_same_etag(
    serve: Serve, get: Get, tmp_path: Path, data: bytes
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "1.jpg").write_bytes(data)
        os.utime(folder / "1.jpg", ns=(7, 1_700_000_000_123_456_789))
    one, two = [await serve(images={"directory": folder}) for folder in folders]
    assert (folders[0] / "1.jpg").stat().st_ino != (folders[1] / "1.jpg").stat().st_ino
    assert await etag_and_blob_id(one, get) == await etag_and_blob_id(two, get)


async def test_servers_that_share_a_cache_use_each_other_s_records(
    serve: Serve, get: Get, tmp_path: Path, data: bytes
) -> None:
    clients = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(data)
        os.utime(tmp_path / name / "1.jpg", ns=(7, 10**18))
        clients.append(await serve(images={"directory": tmp_path / name}, cache={"prefix": f"two-{tmp_path.name}"}))
    for query in ("", "?w=20", "?w=30"):
        answers = [await get(client, 1, query) for client in clients]
        assert [answer.status for answer in answers] == [200, 200]
        assert await answers[0].read() == await answers[1].read()
    part = await get(clients[1], 1, Range="bytes=5-9")
    assert (part.status, await part.read()) == (206, data[5:10])


async def test_restored_file_has_its_former_etag(serve: Serve, get: Get, images: Path, tmp_path: Path) -> None:
    (images / "1.jpg").write_bytes(JPEG)
    shutil.copy2(images / "1.jpg", tmp_path / "backup")
    client = await serve()
    purges = client.server.app[CACHE]
    before = await etag_and_blob_id(client, get)
    (images / "1.jpg").unlink()
    await purges.purge(1)
    assert (await get(client, 1)).status == 404
    shutil.copy2(tmp_path / "backup", images / "1.jpg")
    await purges.purge(1)
    assert await etag_and_blob_id(client, get) == before


async def test_etag_of_put_is_that_of_get_on_another_server(
    serve: Serve, get: Get, images: Path, tmp_path: Path
) -> None:
    client = await serve(writes={"enabled": True})
    put = await client.put("/api/v1/Contact/1/Image", data=JPEG)
    copy = tmp_path / "copy"
    shutil.copytree(images, copy)
    elsewhere = await etag_and_blob_id(await serve(images={"directory": copy}), get)
    assert put.headers["ETag"] == elsewhere[0]
    assert await put.json() == elsewhere[-1]


async def test_cause_of_a_failed_read_is_in_the_log_and_not_in_the_answer(serve: Serve, get: Get) -> None:
    with open_folder() as folder:
        (folder / "1.jpg").write_bytes(JPEG)
        (folder / "1.jpg").chmod(0)
        client = await serve(images={"directory": folder})
        with capture_logs() as lines, unprivileged():
            response = await get(client, 1, "?w=20")
        assert response.status == 502
        assert str(folder) not in await response.text() and "EACCES" not in await response.text()
        (line,) = (line for line in lines if line["event"] == "store.failed")
        assert (line["file"], line["errno"], line["log_level"]) == (str(folder / "1.jpg"), "EACCES", "warning")
