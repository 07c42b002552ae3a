"""A folder that has few pictures itself is listed, so that names in it need no lookup for other contacts."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.stores import layout
from service.stores.directory import DirectoryStore
from service.stores.layout import Layout
from tools.pictures.drawing import quarters, saved

PICTURE, OTHER = saved(quarters(64, 48), "JPEG"), saved(quarters(40, 40), "PNG")


@pytest.fixture
def sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose last change is long ago: contact 7 has a picture in it, and contact 1 in its shard."""
    monkeypatch.setattr(layout, "_PAUSE", 0.0)
    (tmp_path / "7.PNG").write_bytes(OTHER)
    (tmp_path / "001").mkdir()
    (tmp_path / "001" / "1.jpg").write_bytes(PICTURE)
    monkeypatch.setattr(layout, "_SETTLED", -1.0)
    return tmp_path


@pytest.fixture
async def store(sharded: Path) -> AsyncIterator[DirectoryStore]:
    made = DirectoryStore(sharded, max_bytes=1_000_000, timeout=5.0, near=True)
    for _ in range(3):
        assert (await made.find(1)) is not None
    yield made
    await made.close()


def test_contacts_of_the_folder_itself_are_known(sharded: Path) -> None:
    known, status = Layout(str(sharded)), os.stat(sharded)
    assert known.is_unknown(status)
    assert not known.is_sharded(status, 1)
    known.learn(status)
    assert not known.is_unknown(status)
    assert known.is_sharded(status, 1)
    assert not known.is_sharded(status, 7)


def test_change_of_the_folder_ends_what_is_known(sharded: Path) -> None:
    known = Layout(str(sharded))
    known.learn(os.stat(sharded))
    (sharded / "1.webp").write_bytes(OTHER)
    status = os.stat(sharded)
    assert known.is_unknown(status)
    assert not known.is_sharded(status, 1)


async def test_picture_is_found_in_a_folder_that_cannot_be_listed(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "no permission", path)

    monkeypatch.setattr(os, "scandir", refuse)
    store = DirectoryStore(sharded, max_bytes=1_000_000, timeout=5.0, near=True)
    for _ in range(2):
        assert await store.find(1) is not None
    await store.close()


def test_recent_change_is_not_trusted(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_SETTLED", 60.0)
    known, status = Layout(str(sharded)), os.stat(sharded)
    known.learn(status)
    assert not known.is_sharded(status, 1)


def test_folder_with_many_pictures_is_listed_once(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_MAX_ENTRIES", 1)
    known, status = Layout(str(sharded)), os.stat(sharded)
    known.learn(status)
    assert not known.is_sharded(status, 1)
    assert not known.is_unknown(status)


@pytest.mark.parametrize("name", ["1.jpg", "1.JPG", "1.Heic"])
async def test_picture_that_appears_in_the_folder_wins(store: DirectoryStore, sharded: Path, name: str) -> None:
    (sharded / name).write_bytes(OTHER)
    for _ in range(3):
        loaded = await store.load(1, 100_000)
        assert loaded is not None
        assert loaded.data == OTHER
    (sharded / name).unlink()
    for _ in range(3):
        loaded = await store.load(1, 100_000)
        assert loaded is not None
        assert loaded.data == PICTURE


async def test_other_contacts_of_the_folder_are_found(store: DirectoryStore) -> None:
    loaded = await store.load(7, 100_000)
    assert loaded is not None
    assert loaded.data == OTHER
    assert await store.load(8, 100_000) is None
