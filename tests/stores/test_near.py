"""Which folders are near: those on a local file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.stores import near
from service.stores.directory import DirectoryStore
from tools.pictures.drawing import quarters, saved

PICTURE = saved(quarters(64, 48), "JPEG")


async def test_folder_is_near_once_a_file_shows_a_local_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.jpg").write_bytes(PICTURE)
    for local in (True, False):
        monkeypatch.setattr(near, "is_near", lambda _, local=local: local)
        store = DirectoryStore(tmp_path, max_bytes=10_000, timeout=5.0, near="auto")
        assert not store.near
        await store.find(1)
        assert store.near is local
        await store.close()


@pytest.mark.parametrize("setting", [True, False])
async def test_setting_wins_over_the_file_system(tmp_path: Path, setting: bool) -> None:
    (tmp_path / "1.jpg").write_bytes(PICTURE)
    store = DirectoryStore(tmp_path, max_bytes=10_000, timeout=5.0, near=setting)
    await store.find(1)
    assert store.near is setting
    await store.close()
