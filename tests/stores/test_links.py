"""Symbolic links, pipes and sockets in the folder of pictures: what is followed, and what is never opened."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from service.pictures.values import OriginalChanged
from service.stores import links as links_module
from service.stores import picture_folder
from service.stores.directory import DirectoryStore
from service.stores.folder_in_force import FolderInForce
from service.stores.links import LinkRefused, open_at, status_at
from service.stores.openat2 import Links
from service.stores.writable_directory import WritableDirectory
from service.system.open_file import OpenFile
from tests.stores.writing import anything, put
from tests.waiting import until
from tools.pictures.drawing import quarters, saved

JPEG, OTHER, PNG = saved(quarters(64, 48), "JPEG"), saved(quarters(40, 40), "JPEG"), saved(quarters(64, 48), "PNG")
POLICIES: tuple[Links, ...] = ("inside", "all", "none")
MOST = 1_000_000

INSIDE = {"1.jpg": "pool/x.jpg", "7.jpg": "pool/../pool/./x.jpg", "9.jpg": "1.jpg"}
"""Links that stay in the folder, with their targets."""
OUTSIDE = {"2.jpg": "../away/y.jpg", "3.jpg": "{root}/pool/x.jpg", "8.jpg": "pool/../../away/y.jpg", "10.jpg": "2.jpg"}
"""Links that leave the folder, or may: absolute ones."""
NOWHERE = {"4.jpg": "4.jpg", "11.jpg": "pool/none.jpg", "13.jpg": "12.jpg/x.jpg"}
"""Links to themselves or to nothing."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a picture of contact 12, links to pictures, and shards that are links: 005 and 006."""
    root, away = tmp_path / "images", tmp_path / "away"
    for folder in (root, away, root / "pool", root / "fives", away / "sixes"):
        folder.mkdir()
    for path in (root / "12.jpg", root / "pool/x.jpg", root / "fives/5.jpg", away / "y.jpg", away / "sixes/6.jpg"):
        path.write_bytes(JPEG)
    for name, target in (INSIDE | OUTSIDE | NOWHERE | {"005": "fives", "006": "../away/sixes"}).items():
        (root / name).symlink_to(target.format(root=root))
    return root


@pytest.fixture(params=["in one call", "name by name", "not Linux"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux, Linux without openat2(2), and another system."""

    def missing(*_: object) -> int:
        ctypes.set_errno(errno.ENOSYS)
        return -1

    if request.param == "name by name":
        monkeypatch.setattr(links_module, "_libc", SimpleNamespace(syscall=missing))
    elif request.param == "not Linux":
        monkeypatch.setattr(links_module, "sys", SimpleNamespace(platform="darwin"))


def make(root: Path, links: Links) -> WritableDirectory:
    return WritableDirectory(root, max_bytes=MOST, timeout=5.0, near=True, links=links)


def found_with(links: Links) -> set[int]:
    """Return the contacts that have pictures."""
    inside = {1, 7, 9, 5, 12}
    return {"none": {12}, "inside": inside, "all": inside | {2, 3, 8, 10, 6}}[links]


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("links", POLICIES)
async def test_links_are_followed_as_the_setting_says(root: Path, links: Links) -> None:
    store = make(root, links)
    for _ in range(2):  # the second time, in the event loop
        found = [await store.find(contact) for contact in range(1, 14)]
        assert {each.contact for each in found if each is not None} == found_with(links)
        loaded = {contact for contact in range(1, 14) if store.load_at_once(contact, MOST)}
        assert loaded <= found_with(links)
    for original in filter(None, found):
        assert await store.read(original) == JPEG
        assert b"".join([piece async for piece in await store.stream(original, 1_000)]) == JPEG
        opened = await store.open(original)
        assert isinstance(opened, OpenFile) or opened == JPEG
    await store.close()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("links", POLICIES)
async def test_links_are_written_and_deleted_as_the_setting_says(root: Path, links: Links) -> None:
    """A link is replaced or removed, and never its target."""
    store = make(root, links)
    for contact in (1, 2, 3, 5, 6):
        await put(store, contact, OTHER)
        original = await store.find(contact)
        assert original is not None
        assert await store.read(original) == OTHER
    away = root.parent / "away"
    assert [path.read_bytes() for path in (root / "pool/x.jpg", away / "y.jpg")] == [JPEG, JPEG]
    assert (root / "fives/5.jpg").read_bytes() == (JPEG if links == "none" else OTHER)
    assert (away / "sixes/6.jpg").read_bytes() == (OTHER if links == "all" else JPEG)
    for contact in (1, 2, 3, 5, 6, 7, 8):
        await store.delete(contact, anything)
        assert await store.find(contact) is None
    assert (root / "pool/x.jpg").exists()
    assert (away / "y.jpg").exists()
    assert (away / "sixes/6.jpg").exists() is (links != "all")
    await store.close()


@pytest.mark.parametrize("links", POLICIES)
async def test_link_in_place_of_the_folder_of_uploads_is_followed_as_the_setting_says(root: Path, links: Links) -> None:
    (root / ".uploads").symlink_to("../away")
    store = make(root, links)
    if links == "all":
        await put(store, 20, PNG)
    else:
        with pytest.raises(Exception, match="failed"):
            await put(store, 20, PNG)
        assert not (root.parent / "away/lock").exists()
    await store.close()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("links", ["inside", "none"])
def test_what_linux_does_in_one_call_is_done_name_by_name(root: Path, links: Links) -> None:
    """The statuses, the refusals and the absences are the same."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
    refused = {*OUTSIDE, "006"} | ({*INSIDE, *NOWHERE, "005"} if links == "none" else set())
    for name in [*INSIDE, *OUTSIDE, *NOWHERE, "005", "006", "12.jpg", "pool", "none"]:
        for path in (name, f"pool/../{name}"):
            if name in refused:
                with pytest.raises(LinkRefused):
                    status_at(folder, path, links)
                continue
            status = status_at(folder, path, links)
            if name in ("none", *NOWHERE):
                assert status is None
            else:
                assert status is not None
                assert os.path.samestat(status, os.stat(root / path))
    os.close(folder)


@pytest.mark.parametrize("links", POLICIES)
async def test_folder_itself_may_be_a_link(root: Path, tmp_path: Path, links: Links) -> None:
    (tmp_path / "current").symlink_to(root)
    store = make(tmp_path / "current", links)
    assert await store.find(12) is not None
    await put(store, 20, PNG)
    assert (root / "20.png").exists()
    await store.close()


@pytest.mark.parametrize("links", POLICIES)
async def test_refused_links_are_counted(root: Path, links: Links) -> None:
    (root / "fives" / "1005.jpg").symlink_to("../../away/y.jpg")
    store = make(root, links)
    expected = {"inside": len(OUTSIDE) + 2, "all": 0, "none": len(INSIDE) + len(OUTSIDE) + len(NOWHERE) + 2}[links]
    assert await store.refused_links() == expected
    await store.close()


async def test_refused_link_is_logged_once_a_minute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(root, "inside")
    with capture_logs() as lines:
        for contact in (2, 3, 2):
            assert await store.find(contact) is None
        monkeypatch.setattr(picture_folder, "_PAUSE", 0.0)
        await store.close()
        store = make(root, "inside")
        for _ in range(2):
            await store.find(8)
    named = [line["file"] for line in lines if line["event"] == "images.link_refused"]
    assert named == [str(root / "2.jpg"), str(root / "8.jpg"), str(root / "8.jpg")]
    await store.close()


async def test_marker_may_be_a_link_as_the_setting_says(root: Path) -> None:
    (root / ".store").symlink_to("../away/y.jpg")
    with pytest.raises(OSError, match="missing"):
        FolderInForce(root, ".store").require()
    FolderInForce(root, ".store", "all").require()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_PATH)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # the path of a socket is short
        os.close(folder)


@pytest.mark.parametrize("put_in_place", [pipe, listening_socket])
async def test_file_that_becomes_a_pipe_or_a_socket_is_no_picture(
    root: Path, monkeypatch: pytest.MonkeyPatch, put_in_place: Callable[[Path], None]
) -> None:
    """It is put in place between the look at the name and the opening of the file."""
    path, store = root / "12.jpg", make(root, "inside")
    original = await store.find(12)
    assert original is not None

    def look(folder: int, name: str, flags: int, links: Links) -> int | None:
        if name == "12.jpg":
            path.unlink()
            put_in_place(path)
        return open_at(folder, name, flags, links)

    monkeypatch.setattr(picture_folder, "open_at", look)
    for call in (store.read(original), store.open(original), store.stream(original, 1_000)):
        with pytest.raises(OriginalChanged):
            await call
        path.unlink()
        path.write_bytes(JPEG)
    store._nearness.local = False  # in a thread
    assert await store.find(12) is None
    await store.close()


async def test_pipe_called_like_a_picture_is_not_opened(root: Path) -> None:
    """A process that waits for a reader of the pipe waits on."""
    store = make(root, "inside")
    assert await store.find(12) is not None  # from now on, the event loop looks
    pipe(root / "20.jpg")
    writer = threading.Thread(target=lambda: os.close(os.open(root / "20.jpg", os.O_WRONLY)), daemon=True)
    writer.start()
    for _ in range(20):
        assert store.load_at_once(20, MOST) is None
        assert await store.find(20) is None
    assert await store.sample(100) == (5, [])
    assert writer.is_alive()
    reader = os.open(root / "20.jpg", os.O_RDONLY | os.O_NONBLOCK)
    await until(lambda: not writer.is_alive())
    os.close(reader)
    await store.close()


async def test_pipes_among_the_uploads_stop_no_write(root: Path) -> None:
    (root / ".uploads").mkdir()
    pipe(root / ".uploads" / "0123456789abcdef")
    store = make(root, "inside")
    await store.sweep()
    await put(store, 20, PNG)
    assert (root / "20.png").read_bytes() == PNG
    (root / ".uploads" / "lock").unlink()
    pipe(root / ".uploads" / "lock")
    with pytest.raises(Exception, match="failed"):
        await put(store, 21, PNG)
    await store.close()


async def test_no_descriptor_of_the_folder_is_kept(root: Path) -> None:
    store = DirectoryStore(root, max_bytes=MOST, timeout=5.0, near=True)
    for contact in (1, 2, 12, 99):
        store.load_at_once(contact, MOST)
        await store.load(contact, MOST)
    await store.check()
    links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    assert not [link for link in links if os.path.exists(link) and os.readlink(link).startswith(str(root))]
    await store.close()
