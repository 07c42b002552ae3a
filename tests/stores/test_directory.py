"""`DirectoryStore`: names, shards, versions, ignored files, and failures."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.errors import StoreFailed
from service.pictures.values import OriginalChanged, OriginalEmpty
from service.stores import found_files
from service.stores.directory import DirectoryStore
from service.stores.names import SUFFIXES, shard
from service.stores.near import is_near
from service.stores.os_errors import as_store_errors
from service.system.open_file import OpenFile
from tests.privileges import unprivileged
from tests.waiting import until
from tools.pictures.drawing import quarters, saved

JPEG = saved(quarters(64, 48), "JPEG")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DirectoryStore]:
    made = DirectoryStore(tmp_path, max_bytes=1_000_000, timeout=5.0)
    yield made
    await made.close()


def test_suffixes_are_in_order_of_the_lookup() -> None:
    lower = (
        "jpg", "jpeg", "jfif", "jpe", "png", "apng", "gif", "tif", "tiff", "webp", "avif", "bmp", "mpo", "heic",
    )  # fmt: skip
    assert (*lower, *(each.upper() for each in lower), *(each.capitalize() for each in lower)) == SUFFIXES


async def test_file_with_the_first_suffix_is_the_picture(store: DirectoryStore, tmp_path: Path) -> None:
    for suffix in reversed(SUFFIXES):
        (tmp_path / f"42.{suffix}").write_bytes(JPEG + suffix.encode())
        found = await store.find(42)
        assert found is not None
        assert await store.read(found) == JPEG + suffix.encode()


async def test_picture_may_be_in_its_shard(store: DirectoryStore, tmp_path: Path) -> None:
    assert shard(1_234_567) == "567"
    assert shard(7) == "007"
    (tmp_path / "567").mkdir()
    (tmp_path / "567" / "1234567.PNG").write_bytes(JPEG)
    found = await store.find(1_234_567)
    assert found is not None
    assert await store.read(found) == JPEG


async def version_of(store: DirectoryStore, contact: int = 42) -> str:
    found = await store.find(contact)
    assert found is not None
    return found.version


async def test_version_is_size_mtime_and_the_first_bytes(store: DirectoryStore, tmp_path: Path) -> None:
    path, seen = tmp_path / "42.jpg", []
    for data, moment in (
        (JPEG, 10**18),
        (JPEG, 10**18 + 1),
        (JPEG + b"!", 10**18),
        (JPEG[:-3] + b"!" + JPEG[-2:], 10**18),
        (JPEG + bytes(64_000), 10**18),
    ):
        path.write_bytes(data)
        os.utime(path, ns=(0, moment))
        seen.append(await version_of(store))
    assert len(set(seen)) == len(seen)


async def test_same_file_has_the_same_version_on_every_server(tmp_path: Path) -> None:
    """A copy with its times, as of a backup or rsync, has another inode, change time and name."""
    versions = []
    for name, data in (("one/42.jpg", JPEG), ("two/42.PNG", JPEG), ("one/43.jpg", JPEG + bytes(100_000))):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(7, 1_700_000_000_123_456_789))
        store = DirectoryStore(path.parent, max_bytes=1_000_000, timeout=5.0)
        versions.append(await version_of(store, int(path.stem)))
        await store.close()
    assert versions[0] == versions[1] != versions[2]


async def test_original_from_another_server_is_read(tmp_path: Path) -> None:
    data = JPEG + bytes(100_000)
    stores = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "42.jpg").write_bytes(data)
        os.utime(tmp_path / name / "42.jpg", ns=(7, 10**18))
        stores.append(DirectoryStore(tmp_path / name, max_bytes=1_000_000, timeout=5.0))
    seen = await stores[0].find(42)
    assert seen is not None
    assert await stores[1].read(seen) == data
    assert b"".join([bytes(piece) async for piece in await stores[1].stream(seen, 10_000)]) == data
    assert b"".join([bytes(piece) async for piece in await stores[1].stream(seen, 10_000, range(5, 9))]) == data[5:9]
    for store in stores:
        await store.close()


@pytest.mark.parametrize("at", [3, 65_535])
async def test_another_picture_of_the_same_size_and_time_is_not_read_instead(
    store: DirectoryStore, tmp_path: Path, at: int
) -> None:
    path, data = tmp_path / "42.jpg", bytearray(JPEG + bytes(100_000))
    path.write_bytes(data)
    os.utime(path, ns=(0, 10**18))
    seen = await store.find(42)
    assert seen is not None
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(0, 10**18))
    with pytest.raises(OriginalChanged):
        await store.read(seen)
    with pytest.raises(OriginalChanged):
        await store.open(seen)
    with pytest.raises(OriginalChanged):
        await store.stream(seen, 1_000)


async def test_picture_that_is_replaced_is_streamed_to_its_end(store: DirectoryStore, tmp_path: Path) -> None:
    """The change time differs, since the file has lost a name; the bytes are the same."""
    data = JPEG + bytes(100_000)
    (tmp_path / "42.jpg").write_bytes(data)
    seen = await store.find(42)
    assert seen is not None
    pieces = await store.stream(seen, 10_000)
    got = [bytes(await anext(pieces))]
    (tmp_path / "new").write_bytes(JPEG)
    os.replace(tmp_path / "new", tmp_path / "42.jpg")
    got += [bytes(piece) async for piece in pieces]
    assert b"".join(got) == data


async def test_picture_is_opened_only_on_a_local_file_system(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG)
    monkeypatch.setattr("service.stores.directory.is_near", lambda file: False)
    seen = await store.find(42)
    assert seen is not None
    assert await store.open(seen) == JPEG


async def test_file_that_a_lookup_has_opened_is_kept_for_the_next_render(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG)
    seen = await store.find(42)
    assert seen is not None
    with monkeypatch.context() as patched:
        patched.setattr(store, "_open", None)
        kept = await store.open(seen)
    assert isinstance(kept, OpenFile)
    again = await store.open(seen)
    assert isinstance(again, OpenFile)
    assert again.identity == kept.identity
    assert again.descriptor != kept.descriptor


@pytest.mark.parametrize("change", ["rename", "remove", "touch", "replace"])
async def test_kept_file_is_not_used_after_a_change(store: DirectoryStore, tmp_path: Path, change: str) -> None:
    path = tmp_path / "42.jpg"
    path.write_bytes(JPEG)
    os.utime(path, ns=(0, 10**18))
    seen = await store.find(42)
    assert seen is not None
    await asyncio.sleep(0.02)  # the clock of the file system has ticks
    if change == "rename":
        path.rename(tmp_path / "43.jpg")
    elif change == "remove":
        path.unlink()
    elif change == "touch":
        os.utime(path)
    else:
        (tmp_path / "new").write_bytes(JPEG)
        os.replace(tmp_path / "new", path)
    with pytest.raises(OriginalChanged):
        await store.open(seen)


async def test_few_files_are_kept_and_not_for_long(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for contact in range(1, 41):
        (tmp_path / f"{contact}.jpg").write_bytes(JPEG)
    await store.find(1)
    before = len(os.listdir("/dev/fd"))
    monkeypatch.setattr(found_files, "_KEPT", 0.1)
    for contact in range(2, 41):
        assert await store.find(contact) is not None
        assert len(os.listdir("/dev/fd")) < before + 8
    await until(lambda: len(os.listdir("/dev/fd")) < before)


def test_network_file_systems_and_those_of_the_kernel_are_not_local(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux is asked for the file system")
    with open("/proc/self/stat", "rb") as file:
        assert not is_near(file.fileno())
    with (tmp_path / "file").open("wb") as file:
        assert is_near(file.fileno())


async def test_opened_picture_that_is_not_taken_is_closed(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG)
    seen = await store.find(42)
    assert seen is not None
    before = os.listdir("/dev/fd")
    for _ in range(20):
        await store.open(seen)
        opening = asyncio.create_task(store.open(seen))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait((opening,))
    await store.read(seen)
    await until(lambda: len(os.listdir("/dev/fd")) <= len(before))


async def test_empty_files_are_ignored(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").touch()
    (tmp_path / "42.Png").touch()
    with pytest.raises(OriginalEmpty):
        await store.find(42)
    (tmp_path / "042").mkdir()
    (tmp_path / "042" / "42.Jpe").write_bytes(JPEG)
    found = await store.find(42)
    assert found is not None
    assert await store.read(found) == JPEG


async def test_picture_emptied_after_the_lookup_has_changed(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG)
    found = await store.find(42)
    assert found is not None
    os.truncate(tmp_path / "42.jpg", 0)
    for read in (store.read(found), store.stream(found, 1_000)):
        with pytest.raises(OriginalChanged):
            await read


async def test_folders_pipes_and_dangling_links_are_ignored(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").mkdir()
    os.mkfifo(tmp_path / "42.jpeg")
    (tmp_path / "42.png").symlink_to(tmp_path / "nowhere")
    assert await store.find(42) is None
    (tmp_path / "42.gif").write_bytes(JPEG)
    assert await store.find(42) is not None


async def test_missing_folder_is_a_failure_and_not_a_contact_without_picture(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "unmounted", max_bytes=1, timeout=5.0)
    with pytest.raises(StoreFailed):
        await store.find(42)
    with pytest.raises(StoreFailed):
        await store.check()
    await store.close()


async def test_file_in_place_of_the_folder_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DirectoryStore(tmp_path / "file", max_bytes=1, timeout=5.0)
    with pytest.raises(StoreFailed):
        await store.find(42)
    await store.close()


async def test_log_of_a_failed_read_names_file_and_error(open_folder: Path) -> None:
    path = open_folder / "42.jpg"
    path.write_bytes(JPEG)
    store = DirectoryStore(open_folder, max_bytes=1_000_000, timeout=5.0)
    seen = await store.find(42)
    assert seen is not None
    path.chmod(0)
    with capture_logs() as lines, unprivileged():
        for call in (store.find(42), store.read(seen), store.stream(seen, 1_000)):
            with pytest.raises(StoreFailed) as failure:
                await call
            assert str(open_folder) not in str(failure.value)
    assert [(line["event"], line["file"], line["errno"]) for line in lines] == 3 * [
        ("store.failed", str(path), "EACCES")
    ]
    await store.close()


async def test_error_without_a_file_is_logged_with_the_given_file() -> None:
    async def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with capture_logs() as lines, pytest.raises(StoreFailed):
        await as_store_errors(fail, 5.0, "images/42.jpg")
    assert [(line["file"], line["errno"]) for line in lines] == [("images/42.jpg", "EIO")]


async def test_sample_reads_files_in_the_folder_and_in_its_shards(open_folder: Path) -> None:
    (open_folder / "007").mkdir()
    for name in ("1.jpg", "2.png", "readme.txt", "007/7.Jfif", "007/x.jpg"):
        (open_folder / name).write_bytes(JPEG)
    store = DirectoryStore(open_folder, max_bytes=1_000_000, timeout=5.0)
    assert await store.sample(100) == (3, [])
    assert await store.sample(2) == (2, [])
    (open_folder / "007" / "7.Jfif").chmod(0)
    with unprivileged():
        count, errors = await store.sample(100)
    assert count == 3
    assert [(error.errno, error.filename) for error in errors] == [(errno.EACCES, str(open_folder / "007" / "7.Jfif"))]
    await store.close()


async def test_picture_removed_after_the_lookup_has_changed(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG)
    found = await store.find(42)
    assert found is not None
    (tmp_path / "42.jpg").unlink()
    with pytest.raises(OriginalChanged):
        await store.read(found)


async def test_file_truncated_while_it_is_streamed_has_changed(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG + bytes(500_000))
    found = await store.find(42)
    assert found is not None
    pieces = await store.stream(found, 1_000)
    await anext(aiter(pieces))
    os.truncate(tmp_path / "42.jpg", 1_000)
    with pytest.raises(OriginalChanged):
        async for _ in pieces:
            pass


async def test_lookup_takes_the_same_number_of_stats_for_any_number_of_files(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[object] = []
    stat = os.stat

    def counting(path: str, **options: object) -> os.stat_result:
        counted.append(path)
        return stat(path, **options)  # type: ignore[arg-type]

    (tmp_path / "999").mkdir()
    monkeypatch.setattr(os, "stat", counting)
    await store.find(999_999)
    before = len(counted)
    for contact in range(2_000):
        (tmp_path / f"{contact}.jpg").touch()
    counted.clear()
    await store.find(999_999)
    assert len(counted) == before == 2 * len(SUFFIXES) + 1  # the one is the folder itself, afterwards
    (tmp_path / "999").rmdir()
    counted.clear()
    await store.find(999_999)
    assert len(counted) == len(SUFFIXES) + 1
