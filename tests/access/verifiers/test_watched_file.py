"""`WatchedFile`: a file of users or keys on a disk that hangs."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from service.access.verifiers import watched_file
from service.access.verifiers.watched_file import WatchedFile
from tests.waiting import until


async def test_contents_are_those_read_last_while_a_read_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verification does not wait for the disk without end, and later sees the change."""
    monkeypatch.setattr(watched_file, "_READ_TIMEOUT", 0.05)
    mended, path = threading.Event(), tmp_path / "keys"
    path.write_text("old")

    def read(path: Path) -> str:
        if (text := path.read_text()) == "new":
            mended.wait()
        return text

    file = WatchedFile(path, read, lambda _, now: now, lambda _: None)
    path.write_text("new")
    os.utime(path, (1, 1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await file.refresh()
    for _ in range(5):
        assert file.current() == "old"
    mended.set()
    await until(lambda: file.current() == "new")
