"""Changes to a folder as `Watch` reports them."""

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

from service.stores.inotify import Inotify
from service.stores.openat2 import Links
from service.stores.watch import Watch
from tests.privileges import mount_namespace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="changes are reported on Linux only")

TIMEOUT = 60.0
"""Seconds. Changes are reported within one second, but the test machine may be busy."""


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


async def expect_changes(watch: Watch, expected: set[int] | None) -> None:
    """Wait until *expected* has been reported, in one part or several, and nothing else."""
    seen: set[int] = set()
    async with asyncio.timeout(TIMEOUT):
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
async def test_changed_file_reports_its_contact(watch: Watch, root: Path, change: Callable[[Path], object]) -> None:
    change(root / "7.jpg")
    await expect_changes(watch, {7})
    change(root / "007" / "1007.png")
    await expect_changes(watch, {1007})


async def test_new_file_reports_its_contact(watch: Watch, root: Path) -> None:
    (root / "8.HEIC").write_bytes(b"new")
    (root / "007" / "2007.webp").write_bytes(b"new")
    await expect_changes(watch, {8, 2007})


async def test_file_that_is_no_picture_is_not_reported(watch: Watch, root: Path) -> None:
    for name in (".upload-7.jpg", "7.txt", "07.jpg", "-7.jpg", "7.jpg.part", "x7.jpg", "0.jpg", "007/7001.jpg"):
        (root / name).write_bytes(b"new")
    (root / "007" / "1007.png").write_bytes(b"new")  # reported last, after all of the others
    await expect_changes(watch, {1007})


async def test_new_shard_reports_all_contacts_and_is_watched(watch: Watch, root: Path) -> None:
    (root / "042").mkdir()
    (root / "042" / "42.jpg").write_bytes(b"new")
    await expect_changes(watch, None)
    (root / "042" / "1042.jpg").write_bytes(b"new")
    await expect_changes(watch, {1042})


async def test_shard_that_is_moved_in_reports_all_contacts_and_is_watched(watch: Watch, root: Path) -> None:
    (root.parent / "prepared").mkdir()
    (root.parent / "prepared" / "42.jpg").write_bytes(b"new")
    (root.parent / "prepared").rename(root / "042")
    await expect_changes(watch, None)
    (root / "042" / "42.jpg").write_bytes(b"newer")
    await expect_changes(watch, {42})


@pytest.mark.parametrize(("pictures", "links"), [("images/pictures", "inside"), ("pictures", "all")])
async def test_shards_that_are_links_to_one_folder_are_watched(root: Path, pictures: str, links: Links) -> None:
    (root.parent / pictures).mkdir()
    for name in ("042", "043"):
        (root / name).symlink_to(os.path.relpath(root.parent / pictures, root))
    watch = Watch(root, links)
    await watch.start()
    try:
        for contact in (42, 43):
            replace(root.parent / pictures / f"{contact}.jpg")
            await expect_changes(watch, {contact})
    finally:
        await watch.close()


async def test_shard_that_is_moved_away_reports_all_contacts(watch: Watch, root: Path) -> None:
    (root / "007").rename(root / "elsewhere")
    await expect_changes(watch, None)


async def test_folder_that_is_removed_and_created_is_watched_again(watch: Watch, root: Path) -> None:
    shutil.rmtree(root)
    await asyncio.sleep(1.0)  # longer than it takes to notice
    root.mkdir()
    await expect_changes(watch, None)
    (root / "9.jpg").write_bytes(b"new")
    await expect_changes(watch, {9})


async def test_folder_whose_parent_is_replaced_is_watched_again(tmp_path: Path) -> None:
    for release in ("current", "next"):
        (tmp_path / release / "images").mkdir(parents=True)
        (tmp_path / release / "images" / "7.jpg").write_bytes(b"old")
    watch = Watch(tmp_path / "current" / "images")
    await watch.start()
    try:
        (tmp_path / "current").rename(tmp_path / "last")
        (tmp_path / "next").rename(tmp_path / "current")
        await expect_changes(watch, None)
        (tmp_path / "current" / "images" / "5.jpg").write_bytes(b"new")
        await expect_changes(watch, {5})
    finally:
        await watch.close()


async def test_new_target_of_a_link_is_watched(tmp_path: Path) -> None:
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
    current = tmp_path / "current"
    current.symlink_to("one")
    watch = Watch(current)
    await watch.start()
    try:
        (tmp_path / "new").symlink_to("two")
        os.replace(tmp_path / "new", current)
        await expect_changes(watch, None)
        (tmp_path / "two" / "5.jpg").write_bytes(b"new")
        await expect_changes(watch, {5})
    finally:
        await watch.close()


WATCH_MOUNTED_FOLDER = """
import asyncio, os, subprocess, sys
from pathlib import Path
from service.stores.openat2 import Links
from service.stores.watch import Watch

mounted, images, unmount = sys.argv[1:]
TIMEOUT = 60

def mount():
    subprocess.run(["mount", "-t", "tmpfs", "none", mounted], check=True)
    os.makedirs(images, exist_ok=True)
    Path(images, "new").write_bytes(b"new")
    os.rename(Path(images, "new"), Path(images, "7.jpg"))

async def main():
    mount()
    watch = Watch(Path(images))
    await watch.start()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    shell = subprocess.Popen(["sh", "-c", f"{unmount} && echo && exec cat"], **pipes)
    await asyncio.to_thread(shell.stdout.readline)
    try:
        print("reported", await asyncio.wait_for(watch.changed(), 1.5))
    except TimeoutError:
        print("nothing reported")
    await asyncio.to_thread(mount)
    print("back", await asyncio.wait_for(watch.changed(), TIMEOUT))
    Path(images, "8.jpg").write_bytes(b"new")
    print("then", await asyncio.wait_for(watch.changed(), TIMEOUT))
    await watch.close()
    shell.communicate()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("mounted", "unmount"),
    [
        ("images", "umount {root}/images"),
        ("images", "exec 9<{root}/images/7.jpg; umount --lazy {root}/images"),
        (".", "umount {root}"),
    ],
    ids=["unmounted", "unmounted while a file is open", "unmounted with its parent"],
)
async def test_unmounted_folder_reports_nothing_until_it_is_back(tmp_path: Path, mounted: str, unmount: str) -> None:
    """In a process with mounts of its own."""
    if mounted == "images":
        (tmp_path / "images").mkdir()
    script = [sys.executable, "-c", WATCH_MOUNTED_FOLDER]
    arguments = [str(tmp_path / mounted), str(tmp_path / "images"), unmount.format(root=tmp_path)]
    done = await asyncio.to_thread(
        subprocess.run, [*mount_namespace(), *script, *arguments], capture_output=True, text=True, timeout=3 * TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    steps = ["store.unmounted", "nothing reported", "images.watched", "back None", "then {8}"]
    assert [step for line in done.stdout.splitlines() for step in steps if step in line] == steps, done.stdout


async def test_folder_that_is_created_later_is_watched(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "images")
    await watch.start()
    try:
        (tmp_path / "images").mkdir()
        await expect_changes(watch, None)
        (tmp_path / "images" / "5.jpg").write_bytes(b"new")
        await expect_changes(watch, {5})
    finally:
        await watch.close()


@pytest.mark.parametrize(
    "put", [Path.touch, lambda path: path.symlink_to(path), os.mkfifo], ids=["file", "loop", "pipe"]
)
async def test_folder_that_was_something_else_for_a_while_is_watched_again(
    watch: Watch, root: Path, put: Callable[[Path], None]
) -> None:
    root.rename(root.parent / "away")
    put(root)
    await asyncio.sleep(0.6)  # the watch is tried again several times
    root.unlink()
    (root.parent / "away").rename(root)
    async with asyncio.timeout(10):  # it takes a quarter of a second
        await expect_changes(watch, None)
        (root / "8.jpg").write_bytes(b"new")
        await expect_changes(watch, {8})


async def test_burst_reports_all_contacts_and_does_not_block_the_loop(watch: Watch, root: Path) -> None:
    def write_many() -> None:
        for number in range(1, 50_001):
            os.close(os.open(root / f"{number}.jpg", os.O_CREAT | os.O_WRONLY))

    longest, writing = 0.0, asyncio.create_task(asyncio.to_thread(write_many))
    while not writing.done():
        begun = time.perf_counter()
        await asyncio.sleep(0.01)
        longest = max(longest, time.perf_counter() - begun)
    await expect_changes(watch, None)
    assert longest < 10  # seconds
    named: set[int] = set()
    async with asyncio.timeout(TIMEOUT):
        while 50_001 not in named:  # the end of the burst may be reported as None
            (root / "50001.jpg").write_bytes(b"new")
            with suppress(TimeoutError):
                named = await asyncio.wait_for(watch.changed(), 1.0) or set()


NO_DESCRIPTORS = (
    'resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) - 1, 4096))',
    "the process's limit of descriptors, is used up",
)
TWO_WATCHES = (
    'Path("/proc/sys/user/max_inotify_watches").write_text("2")',
    "fs.inotify.max_user_watches is used up",
)


@pytest.mark.parametrize(("limit", "reason"), [NO_DESCRIPTORS, TWO_WATCHES], ids=["descriptors", "watches"])
async def test_watch_that_is_impossible_is_logged_once(root: Path, limit: str, reason: str) -> None:
    """In a process in which *limit* holds. Limits of watches belong to a user namespace."""
    (root / "008").mkdir()  # the third folder
    script = f"""
import asyncio, concurrent.futures.thread, os, resource
from pathlib import Path
from service.stores.openat2 import Links
from service.stores.watch import Watch

async def main():
    watch = Watch(Path({str(root)!r}))
    {limit}
    await watch.start()
    await asyncio.sleep(0.6)
    await watch.close()
    print("went on")

asyncio.run(main())
"""
    namespace = ["unshare", "--user", "--map-root-user"] if limit == TWO_WATCHES[0] else []
    if namespace:
        try:
            subprocess.run([*namespace, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("user namespaces are not allowed here")
    done = await asyncio.to_thread(
        subprocess.run, [*namespace, sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "went on" in done.stdout
    assert (done.stdout + done.stderr).count("images.unwatched") == 1
    assert reason in done.stdout + done.stderr


def test_other_systems_report_no_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch then logs the reason, as it does for a limit."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="on Linux only"):
        Inotify()


async def test_close_ends_the_thread(root: Path) -> None:
    before = set(threading.enumerate())
    watch = Watch(root)
    await watch.start()
    (thread,) = (each for each in set(threading.enumerate()) - before if each.name == "watch")
    await watch.close()
    assert not thread.is_alive()
