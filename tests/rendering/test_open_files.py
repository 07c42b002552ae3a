"""Originals whose open files are passed to the render processes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest
from PIL import Image

from service.errors import RenderWorkerDied, Unrenderable
from service.formats import Format
from service.imaging.order import Limits, Order, Rendered
from service.pictures.trace import Trace
from service.pictures.values import Original, OriginalChanged
from service.rendering.pool import RenderPool
from service.stores.directory import DirectoryStore
from service.system.open_file import FileUnread, OpenFile, file_identity, read_whole
from tests.deadly import Deadly, deadly
from tests.pixels import near, shown
from tests.rendering.test_pool import ORDER, PICTURE, Pools, metrics, pools
from tests.waiting import until
from tools.pictures.drawing import RED, quarters, saved

__all__ = ["deadly", "metrics", "pools"]

Open = Callable[[], Awaitable[OpenFile]]


def opening(path: Path, opened: list[OpenFile] | None = None) -> Open:
    """Return a function that opens the file at *path*. Its bytes are not available in another way."""

    async def unavailable() -> NoReturn:
        raise AssertionError("the bytes are read by the service")

    async def open_file() -> OpenFile:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        file = OpenFile(descriptor, file_identity(os.fstat(descriptor)), path.read_bytes()[-64:], unavailable)
        if opened is not None:
            opened.append(file)
        return file

    return open_file


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "42.png"
    path.write_bytes(PICTURE)
    return path


async def stored(picture: Path) -> tuple[DirectoryStore, Original]:
    store = DirectoryStore(picture.parent, max_bytes=10_000_000, timeout=10.0)
    original = await store.find(42)
    assert original is not None
    return store, original


@asynccontextmanager
async def changing(pool: RenderPool, picture: Path) -> AsyncIterator[asyncio.Task[Rendered]]:
    """Stop the render process during the block, which begins when the file of *picture* is open. Yield the render."""
    store, original = await stored(picture)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    try:
        rendering = asyncio.create_task(pool.render_original(lambda: store.open(original), ORDER, Trace()))
        await asyncio.sleep(0.1)  # the open file is on its way to a process that shows nothing of it
        yield rendering
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.wait((rendering,))
    await store.close()


async def test_render_process_reads_the_file(pools: Pools, picture: Path) -> None:
    pool = await pools()
    opened: list[OpenFile] = []
    rendered = await pool.render_original(opening(picture, opened), ORDER, Trace())
    assert near(shown(rendered.data).convert("RGB").getpixel((2, 2)), RED)
    assert await pool.admit(opening(picture, opened), Limits(), None, Trace()) is None
    assert [file.descriptor for file in opened] == [-1, -1]


@pytest.mark.parametrize("megabytes", [1, 12])
async def test_large_files_and_renditions_pass_whole(pools: Pools, tmp_path: Path, megabytes: int) -> None:
    pool = await pools(timeout=60.0)
    path = tmp_path / "large.bmp"
    path.write_bytes(
        saved(Image.frombytes("RGB", (1000, 333 * megabytes), Random(1).randbytes(999_000 * megabytes)), "BMP")
    )
    rendered = await pool.render_original(opening(path), Order(Format.PNG), Trace())
    assert len(rendered.data) > 900_000 * megabytes
    assert shown(rendered.data).tobytes() == shown(path.read_bytes()).tobytes()


@pytest.mark.parametrize("change", ["append", "truncate", "rewrite", "replace"])
async def test_file_that_changes_before_it_is_read_has_changed(pools: Pools, picture: Path, change: str) -> None:
    pool = await pools()
    before = pool.pids
    async with changing(pool, picture) as rendering:
        if change == "append":
            with picture.open("ab") as file:
                file.write(b"more")
        elif change == "truncate":
            os.truncate(picture, 60)
        elif change == "rewrite":
            with picture.open("r+b") as file:
                file.write(b"\x89PNG")
        else:
            new = picture.with_name("new")
            new.write_bytes(saved(quarters(32, 32), "PNG"))
            new.rename(picture)
    with pytest.raises(OriginalChanged):
        await rendering
    assert pool.pids == before


def test_file_that_changes_while_it_is_read_is_not_used(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread

    def read_and_change(file: int, size: int, position: int) -> bytes:
        data = pread(file, size, position)
        os.utime(picture, ns=(1, 1))
        return data

    with picture.open("rb") as file:
        identity = file_identity(os.fstat(file.fileno()))
        assert read_whole(file.fileno(), identity) == PICTURE
        monkeypatch.setattr(os, "pread", read_and_change)
        with pytest.raises(FileUnread):
            read_whole(file.fileno(), identity)


async def test_new_name_of_the_file_is_no_change(pools: Pools, picture: Path) -> None:
    """The change time differs, as after a backup by hard links."""
    pool = await pools()
    async with changing(pool, picture) as rendering:
        os.link(picture, picture.with_name("copy"))
    assert shown((await rendering).data).size == (16, 12)


async def test_file_that_the_process_cannot_read_is_read_by_the_store(pools: Pools, tmp_path: Path) -> None:
    pool = await pools()

    async def whole() -> bytes:
        return PICTURE

    async def folder() -> OpenFile:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        return OpenFile(descriptor, file_identity(os.fstat(descriptor)), "folder", whole)

    assert shown((await pool.render_original(folder, ORDER, Trace())).data).size == (16, 12)


async def test_file_is_opened_again_for_the_second_try(pools: Pools, deadly: Deadly, tmp_path: Path) -> None:
    pool = await pools(timeout=60.0)
    path, opened = tmp_path / "deadly", list[OpenFile]()
    path.write_bytes(deadly(PICTURE, signal.SIGSEGV))
    assert shown((await pool.render_original(opening(path, opened), ORDER, Trace())).data).size == (16, 12)
    assert len(opened) == 2
    path.write_bytes(deadly(PICTURE, signal.SIGKILL, signal.SIGKILL))
    with pytest.raises(RenderWorkerDied) as died:
        await pool.render_original(opening(path), ORDER, Trace())
    assert died.value.strikes == 2


async def test_no_descriptor_is_left_open(pools: Pools, deadly: Deadly, picture: Path, tmp_path: Path) -> None:
    pool = await pools(timeout=20.0)
    bad, fatal = tmp_path / "bad", tmp_path / "fatal"
    bad.write_bytes(b"no picture")
    fatal.write_bytes(deadly(PICTURE, *[signal.SIGKILL] * 4))
    await pool.render_original(opening(picture), ORDER, Trace())
    worker, before = pool.pids[0], len(os.listdir("/dev/fd"))
    held = open_files_of(worker)
    for _ in range(60):
        await pool.render_original(opening(picture), ORDER, Trace())
        with pytest.raises(Unrenderable):
            await pool.render_original(opening(bad), ORDER, Trace())
        await pool.admit(opening(picture), Limits(), None, Trace())
    assert (pool.pids, open_files_of(worker)) == ([worker], held)
    for _ in range(2):
        with pytest.raises(RenderWorkerDied):
            await pool.render_original(opening(fatal), ORDER, Trace())
    for _ in range(20):
        await until(lambda: bool(pool.pids))
        renders = [asyncio.create_task(pool.render_original(opening(picture), ORDER, Trace())) for _ in range(3)]
        await asyncio.sleep(0.01)
        renders[-1].cancel()
        await asyncio.wait(renders)
    gc.collect()  # an exception holds the process that raised it
    await until(lambda: len(pool.pids) == 1 and len(os.listdir("/dev/fd")) <= before)


def open_files_of(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
