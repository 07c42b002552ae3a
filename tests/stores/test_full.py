"""A full disk: the answer is 507, the upload is removed, and the old picture stays."""

from __future__ import annotations

import errno
import http.client
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.errors import StoreFailed, StoreFull
from service.stores.os_errors import as_store_errors
from service.stores.uploads import UploadFile, UploadFolder
from tests.conftest import Serve
from tests.operations.running import COMMAND, TIMEOUT, Service, running
from tests.web.test_writes import put, unfinished_uploads
from tests.web.test_writes_forms import FORM, part
from tools.pictures.drawing import large, quarters, saved

SMALL, LARGE = saved(quarters(40, 30), "PNG"), saved(large(300, 200), "PNG")
"""An upload smaller than the buffer of a file, which reaches the disk later, and a larger one."""
OLD = saved(quarters(), "PNG")
PATH = "/api/v1/Contact/7/Image"


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads are written to a device that is always full."""
    begin = UploadFolder.begin

    def begin_on_full_disk(folder: UploadFolder) -> UploadFile:
        upload = begin(folder)
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, upload.file.fileno())
        os.close(full)
        return upload

    monkeypatch.setattr(UploadFolder, "begin", begin_on_full_disk)


def open_files() -> set[str]:
    return {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("formed", [False, True])
async def test_upload_is_507_and_leaves_the_old_picture(serve: Serve, images: Path, data: bytes, formed: bool) -> None:
    (images / "7.png").write_bytes(OLD)
    client = await serve(writes={"enabled": True})
    before = (await client.get(PATH)).headers["ETag"]
    body = part(data, 'name="image"; filename="a.png"') + b"--x--\r\n" if formed else data
    for _ in range(3):
        answer = await put(client, 7, body, Content_Type=FORM if formed else "image/png")
        assert answer.status == 507
        problem = json.loads(await answer.text())
        assert problem["detail"] == "The place where pictures are stored is full."
        assert (problem["title"], problem["ErrorType"]) == ("Store full", "SoStorageException")
        assert answer.headers["Cache-Control"] == "no-store"
    assert not unfinished_uploads(images)
    assert "/dev/full" not in open_files()
    after = await client.get(PATH)
    assert (after.status, after.headers["ETag"], await after.read()) == (200, before, OLD)
    assert (await client.delete(PATH)).status == 204
    assert (await client.get(PATH)).status == 404


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
async def test_errors_of_a_full_disk_are_store_full(number: int) -> None:
    async def fail() -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(StoreFull):
        await as_store_errors(fail, None)


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE])
async def test_other_errors_are_not_store_full(number: int) -> None:
    async def fail() -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(StoreFailed) as caught:
        await as_store_errors(fail, None)
    assert not isinstance(caught.value, StoreFull)


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (32768, 32768))
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def limited(images: Path) -> Iterator[Service]:
    """A service whose process may write no file larger than 32 KiB."""
    command = (sys.executable, "-c", LIMITED, *COMMAND)
    variables = {
        "CONTACT_IMAGE_WRITES__ENABLED": "true",
        "CONTACT_IMAGE_RENDER__WORKERS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # a compiled module truncated at 32 KiB would break every later import
    }
    with running("--images", images, command=command, **variables) as service:
        yield service


def status_of_put(service: Service, data: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=TIMEOUT)
    try:
        connection.request("PUT", PATH, body=data, headers={"Content-Type": "image/png"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_file_above_the_size_limit_of_the_process_is_507(images: Path) -> None:
    (images / "7.png").write_bytes(OLD)
    assert len(SMALL) < 32_768 < len(LARGE)
    with limited(images) as service:
        for data, status, left in ((LARGE, 507, OLD), (SMALL, 200, SMALL), (LARGE, 507, SMALL)):
            assert status_of_put(service, data) == status
            assert (images / "7.png").read_bytes() == service.get(PATH).body == left
            assert not unfinished_uploads(images)
