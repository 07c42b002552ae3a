"""What is told of a folder that others change."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from service.stores.watch import Watch

PATIENCE = 60.0
"""Seconds; what is promised within one is tested to come at all, for the machine is shared."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "007").mkdir(parents=True)
    (folder / "7.jpg").write_bytes(b"old")
    (folder / "007" / "1007.png").write_bytes(b"old")
    return folder


@pytest.fixture
async def watch(root: Path) -> AsyncIterator[Watch]:
    watch = Watch(root)
    await watch.start()
    yield watch
    await watch.close()


async def expect(watch: Watch, expected: set[int] | None) -> None:
    """Wait until just *expected* has been told, in one go or several."""
    seen: set[int] = set()
    async with asyncio.timeout(PATIENCE):
        while (contacts := await watch.changed()) is not None:
            seen |= contacts
            if seen == expected:
                return
            assert expected is None or seen < expected
    assert expected is None


def replace(path: Path) -> None:
    temporary = path.with_name(".upload-1")
    temporary.write_bytes(b"new")
    os.replace(temporary, path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"new"),
        lambda path: path.unlink(),
        lambda path: os.utime(path, (1_000_000_000, 1_000_000_000)),
        lambda path: path.rename(path.with_name("away")),
        replace,
    ],
    ids=["written", "removed", "touched", "moved away", "replaced"],
)
async def test_a_changed_file_tells_whose_it_is(watch: Watch, root: Path, change: Callable[[Path], object]) -> None:
    change(root / "7.jpg")
    await expect(watch, {7})
    change(root / "007" / "1007.png")
    await expect(watch, {1007})


async def test_a_new_file_tells_whose_it_is(watch: Watch, root: Path) -> None:
    (root / "8.HEIC").write_bytes(b"new")
    (root / "007" / "2007.webp").write_bytes(b"new")
    await expect(watch, {8, 2007})


async def test_what_is_nobody_s_picture_is_not_told(watch: Watch, root: Path) -> None:
    for name in (".upload-7.jpg", "7.txt", "07.jpg", "-7.jpg", "7.jpg.part", "x7.jpg", "0.jpg", "007/7001.jpg"):
        (root / name).write_bytes(b"new")
    (root / "007" / "1007.png").write_bytes(b"new")  # told last, so that all of these were seen
    await expect(watch, {1007})


async def test_a_new_sub_folder_may_hold_anyone_s_and_is_watched_from_then_on(watch: Watch, root: Path) -> None:
    (root / "042").mkdir()
    (root / "042" / "42.jpg").write_bytes(b"new")
    await expect(watch, None)
    (root / "042" / "1042.jpg").write_bytes(b"new")
    await expect(watch, {1042})


async def test_a_sub_folder_that_is_moved_away_takes_anyone_s_along(watch: Watch, root: Path) -> None:
    (root / "007").rename(root / "elsewhere")
    await expect(watch, None)


async def test_a_folder_that_vanishes_and_comes_back_is_watched_again(watch: Watch, root: Path) -> None:
    shutil.rmtree(root)
    await asyncio.sleep(1.0)  # longer than it takes to notice
    root.mkdir()
    await expect(watch, None)
    (root / "9.jpg").write_bytes(b"new")
    await expect(watch, {9})


async def test_a_folder_behind_a_link_that_leads_elsewhere_now_is_watched_there(tmp_path: Path) -> None:
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
    current = tmp_path / "current"
    current.symlink_to("one")
    watch = Watch(current)
    await watch.start()
    try:
        (tmp_path / "new").symlink_to("two")
        os.replace(tmp_path / "new", current)
        await expect(watch, None)
        (tmp_path / "two" / "5.jpg").write_bytes(b"new")
        await expect(watch, {5})
    finally:
        await watch.close()


async def test_a_folder_that_comes_after_the_service_is_watched(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "images")
    await watch.start()
    try:
        (tmp_path / "images").mkdir()
        await expect(watch, None)
        (tmp_path / "images" / "5.jpg").write_bytes(b"new")
        await expect(watch, {5})
    finally:
        await watch.close()


async def test_a_burst_is_told_as_anyone_and_the_loop_turns_meanwhile(watch: Watch, root: Path) -> None:
    def write_many() -> None:
        for number in range(1, 50_001):
            os.close(os.open(root / f"{number}.jpg", os.O_CREAT | os.O_WRONLY))

    longest, writing = 0.0, asyncio.create_task(asyncio.to_thread(write_many))
    while not writing.done():
        begun = time.perf_counter()
        await asyncio.sleep(0.01)
        longest = max(longest, time.perf_counter() - begun)
    await expect(watch, None)
    assert longest < 10  # seconds
    named: set[int] = set()
    async with asyncio.timeout(PATIENCE):
        while 50_001 not in named:  # the last of the burst may still be told, as anyone
            (root / "50001.jpg").write_bytes(b"new")
            with suppress(TimeoutError):
                named = await asyncio.wait_for(watch.changed(), 1.0) or set()


async def test_without_watches_the_log_says_so_once_and_all_else_goes_on(root: Path) -> None:
    """The kernel's limit of a process of its own: no file descriptor is left to watch with."""
    script = f"""
import asyncio, concurrent.futures.thread, os, resource
from pathlib import Path
from service.stores.watch import Watch

async def main():
    watch = Watch(Path({str(root)!r}))
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) - 1, 4096))
    await watch.start()
    await asyncio.sleep(0.6)
    await watch.close()
    print("went on")

asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "went on" in done.stdout
    assert (done.stdout + done.stderr).count("images.unwatched") == 1


async def test_it_ends_at_once(root: Path) -> None:
    before = set(threading.enumerate())
    watch = Watch(root)
    await watch.start()
    (thread,) = (each for each in set(threading.enumerate()) - before if each.name == "watch")
    await watch.close()
    assert not thread.is_alive()
