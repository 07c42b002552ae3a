"""Small pictures that the kernel holds in memory are read without a thread, with the same results."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from service.errors import StoreFailed
from service.pictures.ports import Loaded
from service.pictures.values import OriginalEmpty
from service.stores import cached_files, directory, near, picture_reader
from service.stores.directory import DirectoryStore
from service.stores.folder_in_force import FolderInForce
from service.system.open_file import OpenFile
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can say that a read would wait")

PICTURE, OTHER = saved(quarters(64, 48), "JPEG"), saved(quarters(40, 40), "PNG")
MOST = 262_144


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DirectoryStore]:
    """A folder whose picture of contact 1 was described before."""
    (tmp_path / "1.jpg").write_bytes(PICTURE)
    made = DirectoryStore(tmp_path, max_bytes=1_000_000, timeout=5.0, near=True)
    await made.load(1, MOST)
    yield made
    await made.close()


@pytest.fixture
def without_threads(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail every read in a thread."""

    def fail(*_: object) -> bytes:
        raise AssertionError("a thread reads")

    monkeypatch.setattr(directory, "read_at", fail)
    monkeypatch.setattr(picture_reader, "read_at", fail)


async def load(store: DirectoryStore, contact: int, most: int) -> Loaded | None:
    return store.load_at_once(contact, most) or await store.load(contact, most)


def holds_in_memory(path: Path) -> bool:
    """Return whether the file system of *path* can say that a read would wait."""
    folder = cached_files.open_folder(str(path.parent))
    try:
        found = cached_files.open_first(folder, (path.name,), "all")
        assert found is not None
        cached_files.read(found[0], 0, 1)
        os.close(found[0])
    except BlockingIOError:
        return False
    finally:
        os.close(folder)
    return True


@pytest.mark.usefixtures("without_threads")
async def test_known_picture_is_read_without_a_thread(store: DirectoryStore, tmp_path: Path) -> None:
    if not holds_in_memory(tmp_path / "1.jpg"):
        pytest.skip("the file system of temporary files has no reads that do not wait")
    found = await load(store, 1, MOST)
    assert found is not None
    assert found.data == PICTURE
    assert found.original.dimensions == (64, 48)


@pytest.mark.usefixtures("without_threads")
async def test_picture_in_memory_is_found_and_opened_without_a_thread(store: DirectoryStore, tmp_path: Path) -> None:
    path = tmp_path / "2.jpg"
    path.write_bytes(large := saved(quarters(64, 48), "JPEG") + bytes(100_000))
    if not holds_in_memory(path):
        pytest.skip("the file system of temporary files has no reads that do not wait")
    found = await store.find(2)
    assert found is not None
    assert found.dimensions == (64, 48)
    opened = await store.open(found)
    assert isinstance(opened, OpenFile)
    with open(opened.descriptor, "rb", closefd=False) as file:
        assert file.read() == large
    opened.close()


@pytest.mark.usefixtures("without_threads")
@pytest.mark.parametrize("broken", [b"", b"no picture"])
async def test_unusual_file_is_found_in_a_thread(store: DirectoryStore, tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "2.jpg").write_bytes(broken)
    with pytest.raises((AssertionError, OriginalEmpty)):
        await store.find(2)


@pytest.mark.usefixtures("without_threads")
@pytest.mark.parametrize("change", ["no picture", "empty", "long header", "elsewhere", "marker"])
async def test_other_files_are_read_in_a_thread(store: DirectoryStore, tmp_path: Path, change: str) -> None:
    path = tmp_path / "1.jpg"
    if change == "no picture":
        path.write_bytes(b"no picture")
    elif change == "empty":
        path.write_bytes(b"")
    elif change == "long header":
        path.write_bytes(PICTURE[:2] + b"\xff\xe5\x00\x02" * 10_000 + PICTURE[2:])
    elif change == "elsewhere":
        path.unlink()
        path.symlink_to("/proc/version")
        store = DirectoryStore(tmp_path, max_bytes=1_000_000, timeout=5.0, near=True, links="all")
    else:
        store = DirectoryStore(
            tmp_path, max_bytes=1_000_000, timeout=5.0, near=True, in_force=FolderInForce(tmp_path, ".store")
        )
    with pytest.raises((AssertionError, OriginalEmpty, StoreFailed)):
        await load(store, 1, MOST)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("padding", [0, 100_000])
async def test_description_is_that_of_a_thread(
    store: DirectoryStore, tmp_path: Path, format: str, padding: int
) -> None:
    (tmp_path / "2.jpg").write_bytes(saved(quarters(52, 31), format) + bytes(padding))
    far = DirectoryStore(tmp_path, max_bytes=1_000_000, timeout=5.0, near=False)
    assert await store.find(2) == await far.find(2)
    assert await load(store, 2, MOST) == await load(far, 2, MOST)
    assert await load(store, 2, 50) == await load(far, 2, 50)
    await far.close()


async def test_change_is_seen(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(OTHER)
    for _ in range(2):
        found = await load(store, 1, MOST)
        assert found is not None
        assert found.data == OTHER
    (tmp_path / "1.jpg").unlink()
    assert await load(store, 1, MOST) is None
    (tmp_path / "001").mkdir()
    (tmp_path / "001" / "1.PNG").write_bytes(OTHER)
    for _ in range(2):
        found = await load(store, 1, MOST)
        assert found is not None
        assert found.data == OTHER


async def test_file_that_is_not_in_memory_is_read_all_the_same(store: DirectoryStore, tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found = await load(store, 1, MOST)
    assert found is not None
    assert found.data == PICTURE


@pytest.mark.parametrize("setting", [True, False, "auto"])
async def test_folder_on_a_network_file_system_is_looked_at_in_threads_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: bool | Literal["auto"]
) -> None:
    (tmp_path / "1.jpg").write_bytes(PICTURE)
    monkeypatch.setattr(near, "is_near", lambda _: False)
    monkeypatch.setattr(cached_files, "open_folder", lambda _: pytest.fail("the event loop looks"))
    store = DirectoryStore(tmp_path, max_bytes=1_000_000, timeout=5.0, near=setting)
    for _ in range(2):
        assert await store.find(1) is not None
        assert await load(store, 1, MOST) is not None
    await store.close()


async def test_lost_folder_is_noticed(store: DirectoryStore, tmp_path: Path) -> None:
    away = tmp_path.with_name("away")
    tmp_path.rename(away)
    tmp_path.mkdir()
    (tmp_path / "2.jpg").write_bytes(PICTURE)
    try:
        with pytest.raises(StoreFailed):
            await load(store, 2, MOST)
    finally:
        (tmp_path / "2.jpg").unlink()
        tmp_path.rmdir()
        away.rename(tmp_path)


async def test_folder_with_its_marker_is_read_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.jpg").write_bytes(PICTURE)
    (tmp_path / ".store").touch()
    in_force = FolderInForce(tmp_path, ".store")
    store = DirectoryStore(tmp_path, max_bytes=1_000_000, timeout=5.0, near=True, in_force=in_force)
    await load(store, 1, MOST)
    with monkeypatch.context() as patch:
        patch.setattr(in_force, "present", lambda _: pytest.fail("a thread looks"))
        if holds_in_memory(tmp_path / "1.jpg"):
            assert store.load_at_once(1, MOST) is not None
    (tmp_path / ".store").unlink()
    with pytest.raises(StoreFailed):
        await load(store, 1, MOST)
    await store.close()


def test_files_outside_the_file_system_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self/status")
    folder = cached_files.open_folder(str(tmp_path))
    with pytest.raises(BlockingIOError):
        cached_files.open_first(folder, ("link",), "all")
    os.close(folder)


async def test_pieces_of_a_large_picture_are_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = PICTURE + os.urandom(300_000)
    (tmp_path / "2.jpg").write_bytes(data)
    store = DirectoryStore(tmp_path, max_bytes=1_000_000, timeout=5.0, near=True)
    found = await store.find(2)
    assert found is not None
    uncached = iter((False, True, False, True, True))
    read = cached_files.read_if_cached
    monkeypatch.setattr(cached_files, "read_if_cached", lambda *args: None if next(uncached) else read(*args))
    pieces = await store.stream(found, 65_536, range(10, len(data) - 5))
    assert b"".join([piece async for piece in pieces]) == data[10:-5]
    await store.close()
