"""The folder in force: which folder may take its place, and when its pictures count as lost."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.errors import StoreFailed
from service.stores.folder_in_force import FolderInForce, FolderLost
from service.stores.writable_directory import WritableDirectory
from tests.stores.writing import anything, put
from tools.pictures.drawing import quarters, saved

PNG = saved(quarters(8, 8), "PNG")


def filled(folder: Path, *contacts: int) -> Path:
    folder.mkdir(exist_ok=True)
    for contact in contacts:
        (folder / f"{contact}.png").write_bytes(PNG)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def in_force(root: Path) -> FolderInForce:
    return FolderInForce(root)


@pytest.fixture
async def store(root: Path, in_force: FolderInForce) -> AsyncIterator[WritableDirectory]:
    made = WritableDirectory(root, max_bytes=1_000_000, timeout=5.0, in_force=in_force)
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.stores.folder_in_force._LOOK_PAUSE", 0.0)


def replaced(root: Path, *contacts: int) -> None:
    """Put another folder in the place of *root*, with pictures of *contacts*."""
    root.rename(root.with_name(f"old-{os.urandom(4).hex()}"))
    filled(root, *contacts)


async def assert_lost(store: WritableDirectory, root: Path) -> None:
    for call in (store.find(1), store.find(404), store.check(), store.delete(1, anything), put(store, 7, PNG)):
        with pytest.raises(StoreFailed) as failure:
            await call
        assert isinstance(failure.value.__cause__, FolderLost)
    assert not await store.is_in_force()
    assert not (root / "7.png").exists() and not (root / ".uploads").exists()


SEEN: list[Callable[[WritableDirectory], Awaitable[object]]] = [
    lambda store: store.find(1),
    lambda store: put(store, 2, PNG),
    lambda store: store.check(),
]


@pytest.mark.parametrize("see", SEEN, ids=["find", "put", "check"])
async def test_another_folder_without_the_known_pictures_is_lost(
    root: Path, store: WritableDirectory, see: Callable[[WritableDirectory], Awaitable[object]]
) -> None:
    filled(root, 1)
    await see(store)
    replaced(root, 50, 60)
    with capture_logs() as lines:
        await assert_lost(store, root)
    assert [line["event"] for line in lines] == ["images.lost"]


async def test_folder_that_comes_back_is_used_again(root: Path, store: WritableDirectory) -> None:
    filled(root, 1)
    original = await store.find(1)
    root.rename(root.with_name("elsewhere"))
    root.mkdir()
    await assert_lost(store, root)
    root.rmdir()
    root.with_name("elsewhere").rename(root)
    assert await store.find(1) == original
    await put(store, 7, PNG)


async def test_original_of_a_lost_folder_is_not_read_as_changed(root: Path, store: WritableDirectory) -> None:
    filled(root, 1)
    original = await store.find(1)
    assert original is not None
    replaced(root)
    for call in (store.read(original), store.stream(original, 1_000)):
        with pytest.raises(StoreFailed):
            await call


@pytest.mark.parametrize("sharded", [False, True])
async def test_folder_with_one_of_the_last_pictures_is_used(
    root: Path, store: WritableDirectory, sharded: bool
) -> None:
    filled(root, *range(1, 40))
    for contact in range(1, 40):
        await store.find(contact)
    replaced(root, *() if sharded else (38,))
    if sharded:
        filled(root / "038", 38)
    assert await store.find(38) is not None
    assert await store.find(1) is None
    await put(store, 7, PNG)


async def test_folder_with_older_pictures_alone_is_lost(root: Path, store: WritableDirectory) -> None:
    """The last 32 contacts that had a picture are looked for."""
    filled(root, *range(1, 40))
    for contact in range(1, 40):
        await store.find(contact)
    replaced(root, *range(1, 7))
    await assert_lost(store, root)


async def test_new_target_of_a_link_is_used_whatever_it_holds(tmp_path: Path, root: Path) -> None:
    filled(tmp_path / "one", 1)
    filled(tmp_path / "two", 2)
    root.symlink_to("one")
    store = WritableDirectory(root, max_bytes=1_000_000, timeout=5.0)
    assert await store.find(1) is not None
    root.unlink()
    root.symlink_to("two")
    assert await store.find(1) is None
    replaced(tmp_path / "two")
    await assert_lost(store, root)  # now this one is in force
    await store.close()


async def test_folder_that_is_moved_to_the_path_of_its_link_is_in_force_there(tmp_path: Path, root: Path) -> None:
    filled(tmp_path / "one", 1)
    root.symlink_to("one")
    store = WritableDirectory(root, max_bytes=1_000_000, timeout=5.0)
    assert await store.find(1) is not None
    root.unlink()
    (tmp_path / "one").rename(root)
    assert await store.check()
    replaced(root)
    await assert_lost(store, root)
    await store.close()


@pytest.mark.parametrize("deleted", [False, True], ids=["none", "deleted"])
async def test_folder_without_a_picture_may_be_replaced(root: Path, store: WritableDirectory, deleted: bool) -> None:
    root.mkdir()
    if deleted:
        await put(store, 1, PNG)
        await store.delete(1, anything)
    assert await store.find(1) is None
    replaced(root, 5)
    assert await store.find(1) is None
    assert await store.find(5) is not None


async def test_folder_whose_known_pictures_were_deleted_is_in_force_while_it_holds_others(
    root: Path, store: WritableDirectory
) -> None:
    root.mkdir()
    await put(store, 1, PNG)
    filled(root, 2)
    await store.delete(1, anything)
    replaced(root)
    await assert_lost(store, root)


async def test_any_folder_is_used_after_it_was_accepted(
    root: Path, store: WritableDirectory, in_force: FolderInForce
) -> None:
    filled(root, 1)
    await store.find(1)
    replaced(root, 5)
    await assert_lost(store, root)
    in_force.accept_any()
    assert await store.find(1) is None
    assert await store.find(5) is not None
    replaced(root, 1)
    await assert_lost(store, root)


async def test_missing_folder_is_a_failure(root: Path, store: WritableDirectory) -> None:
    filled(root, 1)
    await store.find(1)
    shutil.rmtree(root)
    for call in (store.find(1), store.check(), put(store, 7, PNG)):
        with pytest.raises(StoreFailed):
            await call
    assert not await store.is_in_force()


async def find_known(store: WritableDirectory, contacts: range) -> None:
    for contact in contacts:
        assert await store.find(contact, known=True) is None


@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen"])
async def test_ten_known_pictures_that_are_missing_in_a_row_are_an_outage(
    root: Path, store: WritableDirectory, seen: bool
) -> None:
    """The folder may be in force, or may never have held a picture."""
    filled(root, *range(100, 140) if seen else ())
    for contact in range(100, 140):
        assert (await store.find(contact) is not None) is seen
    for path in root.glob("*.png"):
        path.unlink()
    await find_known(store, range(1, 10))
    with pytest.raises(StoreFailed):
        await store.find(10, known=True)
    shutil.rmtree(root / ".uploads", ignore_errors=True)
    await assert_lost(store, root)
    filled(root, 200)
    await assert_lost(store, root)
    filled(root, 130 if seen else 10)
    assert await store.find(200) is not None
    await put(store, 7, PNG)


async def test_picture_that_is_present_ends_the_row(root: Path, store: WritableDirectory) -> None:
    filled(root, 100)
    for first in range(1, 50, 9):
        await find_known(store, range(first, first + 9))
        assert await store.find(100) is not None


async def test_ten_pictures_may_be_removed_while_one_of_the_last_is_there(root: Path, store: WritableDirectory) -> None:
    filled(root, *range(1, 32))
    for contact in range(1, 32):
        await store.find(contact)
    for contact in range(1, 31):
        (root / f"{contact}.png").unlink()
    await find_known(store, range(1, 31))
    assert await store.find(31) is not None


async def test_pictures_that_no_record_knows_may_be_missing(root: Path, store: WritableDirectory) -> None:
    root.mkdir()
    for contact in range(1, 100):
        assert await store.find(contact) is None


async def test_one_picture_that_is_missing_often_is_no_outage(root: Path, store: WritableDirectory) -> None:
    root.mkdir()
    for _ in range(30):
        await find_known(store, range(1, 3))


@pytest.fixture
async def marked(root: Path) -> AsyncIterator[WritableDirectory]:
    """A store in a folder that has its marker."""
    filled(root, 1)
    (root / ".store").touch()
    made = WritableDirectory(root, max_bytes=1_000_000, timeout=5.0, in_force=FolderInForce(root, ".store"))
    assert await made.find(1) is not None
    yield made
    await made.close()


async def test_folder_without_the_marker_is_lost_whatever_it_holds(root: Path, marked: WritableDirectory) -> None:
    (root / ".store").rename(root / ".away")
    await assert_lost(marked, root)
    (root / ".away").rename(root / ".store")
    assert await marked.find(1) is not None
    replaced(root, 1)
    await assert_lost(marked, root)


async def test_any_folder_with_the_marker_is_used(root: Path, marked: WritableDirectory) -> None:
    replaced(root, 50)
    (root / ".store").touch()
    await find_known(marked, range(1, 40))
    assert await marked.find(50) is not None
    await put(marked, 7, PNG)


async def test_marker_that_is_a_pipe_has_no_text_and_stops_no_thread(root: Path, marked: WritableDirectory) -> None:
    """A thread that opens a pipe waits for a writer, and the store has eight of them."""
    (root / ".store").unlink()
    os.mkfifo(root / ".store")
    try:
        async with asyncio.timeout(4):  # the store's own limit is 5 s
            assert await marked.identity() is None
        with open(os.open(root / ".store", os.O_RDWR), "wb"):
            assert await marked.identity() is None  # there is a writer, and no text yet
    finally:
        with open(os.open(root / ".store", os.O_RDWR | os.O_NONBLOCK), "wb"):
            pass  # end the thread that waits
    assert await marked.find(1) is not None
