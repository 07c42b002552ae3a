"""The folder: which name wins, sharding, what is passed over, and how failures are told."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.errors import StoreFailed
from service.pictures.values import OriginalChanged
from service.stores.directory import SUFFIXES, DirectoryStore, shard
from tests.pictures_in_code import quarters, saved

JPEG = saved(quarters(64, 48), "JPEG")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DirectoryStore]:
    made = DirectoryStore(tmp_path, max_bytes=1_000_000, timeout=5.0)
    yield made
    await made.close()


def test_the_suffixes_stand_in_their_order_lower_case_first() -> None:
    lower = ("jpg", "jpeg", "png", "apng", "gif", "tif", "tiff", "webp", "avif", "bmp", "mpo", "heic")
    assert lower + tuple(each.upper() for each in lower) == SUFFIXES


async def test_the_first_suffix_that_exists_wins(store: DirectoryStore, tmp_path: Path) -> None:
    for suffix in reversed(SUFFIXES):
        (tmp_path / f"42.{suffix}").write_bytes(JPEG + suffix.encode())
        found = await store.look(42)
        assert found is not None
        assert await store.read(found) == JPEG + suffix.encode()


async def test_a_picture_may_lie_in_its_shard(store: DirectoryStore, tmp_path: Path) -> None:
    assert shard(1_234_567) == "567"
    assert shard(7) == "007"
    (tmp_path / "567").mkdir()
    (tmp_path / "567" / "1234567.PNG").write_bytes(JPEG)
    found = await store.look(1_234_567)
    assert found is not None
    assert await store.read(found) == JPEG


async def test_the_version_is_inode_size_and_mtime(store: DirectoryStore, tmp_path: Path) -> None:
    path = tmp_path / "42.jpg"
    path.write_bytes(JPEG)
    first = await store.look(42)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    second = await store.look(42)
    path.write_bytes(JPEG + b"!")
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    third = await store.look(42)
    assert first is not None
    assert second is not None
    assert third is not None
    assert len({first.version, second.version, third.version}) == 3


async def test_folders_pipes_and_dangling_links_are_passed_over(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").mkdir()
    os.mkfifo(tmp_path / "42.jpeg")
    (tmp_path / "42.png").symlink_to(tmp_path / "nowhere")
    assert await store.look(42) is None
    (tmp_path / "42.gif").write_bytes(JPEG)
    assert await store.look(42) is not None


async def test_a_folder_that_is_gone_is_a_failure_and_not_a_contact_without_picture(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "unmounted", max_bytes=1, timeout=5.0)
    with pytest.raises(StoreFailed):
        await store.look(42)
    with pytest.raises(StoreFailed):
        await store.check()
    await store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_may_not_be_read_is_a_failure(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG)
    (tmp_path / "42.jpg").chmod(0)
    with pytest.raises(StoreFailed):
        await store.look(42)


async def test_a_picture_removed_after_it_was_seen_has_changed(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG)
    found = await store.look(42)
    assert found is not None
    (tmp_path / "42.jpg").unlink()
    with pytest.raises(OriginalChanged):
        await store.read(found)


async def test_a_file_cut_short_while_it_is_streamed_is_told(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "42.jpg").write_bytes(JPEG + bytes(500_000))
    found = await store.look(42)
    assert found is not None
    pieces = await store.stream(found, 1_000)
    await anext(aiter(pieces))
    os.truncate(tmp_path / "42.jpg", 1_000)
    with pytest.raises(OriginalChanged):
        async for _ in pieces:
            pass


async def test_a_look_up_costs_the_same_number_of_stats_whatever_there_is(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Path] = []
    stat = Path.stat

    def counting(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        counted.append(self)
        return stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", counting)
    await store.look(999_999)
    few = len(counted)
    for contact in range(2_000):
        (tmp_path / f"{contact}.jpg").touch()
    counted.clear()
    await store.look(999_999)
    assert len(counted) == few == 2 * len(SUFFIXES) + 1
