"""What `WritableDirectory` promises beyond the contract of a `WritableStore`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.errors import StoreFailed, StoreTimedOut
from service.stores.uploads import UploadFolder
from service.stores.writable_directory import WritableDirectory
from tests.stores.writing import anything, nothing_there, put
from tools.pictures.drawing import quarters, saved

JPEG, PNG = saved(quarters(), "JPEG"), saved(quarters(), "PNG")


@pytest.fixture
async def store(images: Path) -> AsyncIterator[WritableDirectory]:
    store = WritableDirectory(images, max_bytes=1_000_000, timeout=5)
    yield store
    await store.close()


def files(images: Path) -> set[str]:
    return {path.name for path in images.rglob("*") if path.is_file()} - {"lock"}


async def test_put_and_delete_remove_files_without_bytes(store: WritableDirectory, images: Path) -> None:
    (images / "001").mkdir()
    for name in ("1.jpg", "1.Gif", "001/1.png"):
        (images / name).touch()
    await put(store, 1, PNG)
    assert files(images) == {"1.png"}
    (images / "1.jpg").touch()  # before the picture's own name
    original = await put(store, 1, JPEG)
    assert files(images) == {"1.png"}
    assert await store.find(1) == original
    (images / "1.Gif").touch()
    await store.delete(1, anything)
    assert not files(images)
    (images / "1.TIFF").touch()
    await store.delete(1, nothing_there)
    assert not files(images)


async def test_file_without_bytes_does_not_count_as_a_picture(store: WritableDirectory, images: Path) -> None:
    (images / "1.jpg").touch()
    async with store.uploading() as upload:
        await upload.write(PNG)
        await store.put(1, upload, nothing_there)
    assert len(files(images)) == 1


async def test_upload_without_put_leaves_no_file(store: WritableDirectory, images: Path) -> None:
    async with store.uploading() as upload:
        await upload.write(JPEG)
        assert len(files(images)) == 1
        assert await store.find(1) is None
    assert not files(images)


async def test_picture_that_is_replaced_stays_one_file(store: WritableDirectory, images: Path) -> None:
    await put(store, 1, JPEG)
    await put(store, 1, PNG)
    assert files(images) == {"1.jpg"}


@pytest.fixture(params=[0o000, 0o022, 0o077], ids="{:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("file", "folder"), [(0o640, 0o750), (0o600, 0o700), (0o664, 0o775)])
async def test_new_files_have_the_set_mode_and_the_folder_x_in_addition(images: Path, file: int, folder: int) -> None:
    store = WritableDirectory(images, max_bytes=1_000_000, timeout=5, file_mode=file)
    async with store.uploading() as upload:
        await upload.write(JPEG)
        assert {mode(each) for each in (images / ".uploads").iterdir()} == {file}  # the lock too
        await store.put(1, upload, anything)
    assert mode(images / "1.jpg") == file
    assert mode(images / ".uploads") == folder
    await store.close()


@pytest.mark.parametrize("kept", [0o644, 0o600, 0o666, 0o440])
async def test_picture_that_is_replaced_keeps_its_mode(store: WritableDirectory, images: Path, kept: int) -> None:
    (images / "1.jpg").write_bytes(JPEG)
    (images / "1.jpg").chmod(kept)
    await put(store, 1, PNG)
    assert mode(images / "1.jpg") == kept
    await store.delete(1, anything)
    await put(store, 1, PNG)
    assert mode(images / "1.png") == 0o640


async def test_mode_of_an_existing_folder_of_uploads_stays(store: WritableDirectory, images: Path) -> None:
    (images / ".uploads").mkdir()
    (images / ".uploads").chmod(0o700)
    await put(store, 1, JPEG)
    assert mode(images / ".uploads") == 0o700


async def test_newer_picture_has_a_later_date_but_not_far_ahead(store: WritableDirectory, images: Path) -> None:
    seconds = [(await put(store, 1, JPEG)).modified or 0 for _ in range(70)]
    assert len(set(seconds[:50])) == 50
    assert max(seconds) <= time.time() + 61
    os.utime(images / "1.jpg", (2_000_000_000, 2_000_000_000))  # a copy from a machine with a wrong clock
    assert ((await put(store, 1, JPEG)).modified or 0) <= time.time() + 1


async def test_older_picture_is_never_visible_during_a_delete(store: WritableDirectory, images: Path) -> None:
    """A reader sees the present picture or none at any point, so a crash leaves one of these."""
    (images / "001").mkdir()
    reader = WritableDirectory(images, max_bytes=1_000_000, timeout=5)
    for _ in range(20):
        for name in ("1.webp", "1.PNG", "001/1.jpg"):
            (images / name).write_bytes(PNG)
        present = await put(store, 1, JPEG) if (images / "1.jpg").exists() else None
        (images / "1.jpg").write_bytes(JPEG)
        present = await reader.find(1)
        deleting = asyncio.create_task(store.delete(1, anything))
        while not deleting.done():
            assert await reader.find(1) in (present, None)
            await asyncio.sleep(0)  # a lookup in memory gives no turn to others
        await deleting
        assert not files(images)
    await reader.close()


async def test_sweep_removes_leftovers_and_no_uploads_in_progress(store: WritableDirectory, images: Path) -> None:
    async with store.uploading() as upload:
        await upload.write(JPEG)
        leftover = images / ".uploads" / "0123456789abcdef"
        leftover.write_bytes(b"half a pic")
        other = WritableDirectory(images, max_bytes=1_000_000, timeout=5)
        await other.sweep()
        await other.close()
        assert not leftover.exists()
        await store.put(1, upload, anything)
    assert (images / "1.jpg").read_bytes() == JPEG


async def test_sweep_creates_nothing(store: WritableDirectory, images: Path) -> None:
    await store.sweep()
    assert not list(images.iterdir())


async def test_upload_waits_for_the_lock_of_another_process_until_the_time_limit(images: Path) -> None:
    store = WritableDirectory(images, max_bytes=1_000_000, timeout=2)
    code = (
        "import sys, time; from pathlib import Path; from service.stores.uploads import UploadFolder\n"
        "with UploadFolder(Path(sys.argv[1]), 5).write_lock(): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(images)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreTimedOut):
            await put(store, 1, JPEG)
    finally:
        holder.kill()  # the lock ends with its process
        holder.communicate()
    await put(store, 1, JPEG)
    async with asyncio.timeout(60):
        while files(images) != {"1.jpg"}:  # the upload that began after the time limit is removed too
            await asyncio.sleep(0.02)
    await store.close()


async def test_missing_folder_is_a_failure_and_is_not_created(tmp_path: Path) -> None:
    store = WritableDirectory(tmp_path / "unmounted", max_bytes=1_000_000, timeout=5)
    with pytest.raises(StoreFailed):
        await put(store, 1, JPEG)
    assert not (tmp_path / "unmounted").exists()
    await store.close()


def test_write_lock_is_exclusive(images: Path) -> None:
    with (
        UploadFolder(images, 1).write_lock(),
        pytest.raises(TimeoutError),
        UploadFolder(images, 0.05).write_lock(),
    ):
        pass
