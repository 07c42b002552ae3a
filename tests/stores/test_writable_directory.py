"""Writing originals: one suite over every store that can, then what a folder promises besides."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.errors import PreconditionFailed, StoreFailed, StoreTimedOut
from service.formats import Format
from service.pictures.ports import WritableStore
from service.pictures.values import Original
from service.stores.memory import MemoryStore
from service.stores.uploads import UploadFolder
from service.stores.writable_directory import WritableDirectory
from tests.pictures_in_code import quarters, saved

JPEG, PNG = saved(quarters(), "JPEG"), saved(quarters(), "PNG")


def anything(_: Original | None) -> None:
    """The check of a write without conditions."""


def nothing_there(present: Original | None) -> None:
    if present is not None:
        raise PreconditionFailed("there is")


@pytest.fixture
async def folder(images: Path) -> AsyncIterator[WritableDirectory]:
    store = WritableDirectory(images, max_bytes=1_000_000, timeout=5)
    yield store
    await store.close()


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, folder: WritableDirectory) -> WritableStore:
    return folder if request.param == "directory" else MemoryStore()


async def put(store: WritableStore, contact: int, *pieces: bytes) -> Original:
    async with store.uploading() as upload:
        for piece in pieces:
            await upload.write(piece)
        return await store.put(contact, upload, anything)


async def test_what_is_put_is_what_is_looked_at_and_read(store: WritableStore) -> None:
    made = await put(store, 1, PNG[:100], PNG[100:])
    assert made == await store.look(1)
    assert made.format is Format.PNG
    assert await store.read(made) == PNG


async def test_each_put_is_another_version(store: WritableStore) -> None:
    assert len({(await put(store, 1, JPEG)).version for _ in range(150)}) == 150


async def test_a_version_does_not_come_again_after_a_delete(store: WritableStore) -> None:
    """Inodes are used again, and sizes are easily the same."""
    seen = []
    for _ in range(10):
        seen += [(await put(store, 1, JPEG)).version for _ in range(2)]
        await store.delete(1, lambda _: None)
    assert len(set(seen)) == len(seen)


async def test_an_upload_is_read_and_replaced_before_it_is_put(store: WritableStore) -> None:
    async with store.uploading() as upload:
        await upload.write(PNG)
        assert await upload.read() == PNG
        await upload.replace(JPEG)
        made = await store.put(1, upload, anything)
    assert await store.read(made) == JPEG


async def test_a_check_that_fails_changes_nothing(store: WritableStore) -> None:
    first = await put(store, 1, JPEG)
    async with store.uploading() as upload:
        await upload.write(PNG)
        with pytest.raises(PreconditionFailed):
            await store.put(1, upload, nothing_there)
    with pytest.raises(PreconditionFailed):
        await store.delete(1, nothing_there)
    assert await store.look(1) == first


async def test_a_deleted_picture_is_gone(store: WritableStore) -> None:
    await put(store, 1, JPEG)
    await store.delete(1, anything)
    assert await store.look(1) is None
    await store.delete(1, anything)


async def test_put_and_delete_remove_files_without_bytes(folder: WritableDirectory, images: Path) -> None:
    (images / "001").mkdir()
    for name in ("1.jpg", "1.Gif", "001/1.png"):
        (images / name).touch()
    await put(folder, 1, PNG)
    assert files(images) == {"1.png"}
    (images / "1.jpg").touch()  # before the picture's own name
    made = await put(folder, 1, JPEG)
    assert files(images) == {"1.png"}
    assert await folder.look(1) == made
    (images / "1.Gif").touch()
    await folder.delete(1, anything)
    assert not files(images)
    (images / "1.TIFF").touch()
    await folder.delete(1, nothing_there)
    assert not files(images)


async def test_a_file_without_bytes_does_not_count_as_a_picture(folder: WritableDirectory, images: Path) -> None:
    (images / "1.jpg").touch()
    async with folder.uploading() as upload:
        await upload.write(PNG)
        await folder.put(1, upload, nothing_there)
    assert len(files(images)) == 1


def files(images: Path) -> set[str]:
    return {path.name for path in images.rglob("*") if path.is_file()} - {"lock"}


async def test_an_upload_that_is_not_put_leaves_nothing(folder: WritableDirectory, images: Path) -> None:
    async with folder.uploading() as upload:
        await upload.write(JPEG)
        assert len(files(images)) == 1
        assert await folder.look(1) is None
    assert not files(images)


async def test_a_picture_is_one_file_readable_by_others(folder: WritableDirectory, images: Path) -> None:
    await put(folder, 1, JPEG)
    await put(folder, 1, PNG)
    assert files(images) == {"1.jpg"}
    umask = os.umask(0)
    os.umask(umask)
    assert (images / "1.jpg").stat().st_mode & 0o777 == 0o666 & ~umask


async def test_a_newer_picture_is_dated_later_but_not_far_ahead(folder: WritableDirectory, images: Path) -> None:
    seconds = [(await put(folder, 1, JPEG)).modified or 0 for _ in range(70)]
    assert len(set(seconds[:50])) == 50
    assert max(seconds) <= time.time() + 61
    os.utime(images / "1.jpg", (2_000_000_000, 2_000_000_000))  # a copy from a machine whose clock is wrong
    assert ((await put(folder, 1, JPEG)).modified or 0) <= time.time() + 1


async def test_an_older_picture_never_comes_to_light_while_one_is_deleted(
    folder: WritableDirectory, images: Path
) -> None:
    """What a reader sees meanwhile, and so what a crash may leave, is the present one or none."""
    (images / "001").mkdir()
    looker = WritableDirectory(images, max_bytes=1_000_000, timeout=5)
    for _ in range(20):
        for name in ("1.webp", "1.PNG", "001/1.jpg"):
            (images / name).write_bytes(PNG)
        present = await put(folder, 1, JPEG) if (images / "1.jpg").exists() else None
        (images / "1.jpg").write_bytes(JPEG)
        present = await looker.look(1)
        deleting = asyncio.create_task(folder.delete(1, anything))
        while not deleting.done():
            assert await looker.look(1) in (present, None)
        await deleting
        assert not files(images)
    await looker.close()


async def test_leftovers_are_swept_and_uploads_under_way_are_not(folder: WritableDirectory, images: Path) -> None:
    async with folder.uploading() as upload:
        await upload.write(JPEG)
        leftover = images / ".uploads" / "0123456789abcdef"
        leftover.write_bytes(b"half a pic")
        other = WritableDirectory(images, max_bytes=1_000_000, timeout=5)
        await other.sweep()
        await other.close()
        assert not leftover.exists()
        await folder.put(1, upload, anything)
    assert (images / "1.jpg").read_bytes() == JPEG


async def test_a_sweep_makes_nothing(folder: WritableDirectory, images: Path) -> None:
    await folder.sweep()
    assert not list(images.iterdir())


async def test_another_process_that_holds_the_lock_is_waited_for_but_not_for_ever(images: Path) -> None:
    store = WritableDirectory(images, max_bytes=1_000_000, timeout=2)
    code = (
        "import sys, time; from pathlib import Path; from service.stores.uploads import UploadFolder\n"
        "with UploadFolder(Path(sys.argv[1]), 5).alone(): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(images)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreTimedOut):
            await put(store, 1, JPEG)
    finally:
        holder.kill()  # however it ends, its lock ends with it
        holder.communicate()
    await put(store, 1, JPEG)
    async with asyncio.timeout(60):
        while files(images) != {"1.jpg"}:  # what was begun too late is not left behind either
            await asyncio.sleep(0.02)
    await store.close()


async def test_a_folder_that_is_gone_is_a_failure_and_is_not_made(tmp_path: Path) -> None:
    store = WritableDirectory(tmp_path / "unmounted", max_bytes=1_000_000, timeout=5)
    with pytest.raises(StoreFailed):
        await put(store, 1, JPEG)
    assert not (tmp_path / "unmounted").exists()
    await store.close()


def test_the_lock_is_alone(images: Path) -> None:
    with UploadFolder(images, 1).alone(), pytest.raises(TimeoutError), UploadFolder(images, 0.05).alone():
        pass
