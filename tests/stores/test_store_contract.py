"""The contract of `OriginalStore` and `WritableStore`, for every adapter. A new adapter is a row of `ADAPTERS`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.errors import PreconditionFailed, Unrenderable
from service.formats import Format
from service.pictures.ports import OriginalStore, WritableStore
from service.pictures.values import Original, OriginalChanged, OriginalEmpty
from service.stores.directory import DirectoryStore
from service.stores.writable_directory import WritableDirectory
from service.system.open_file import OpenFile, read_whole
from tests.stores.memory_store import MemoryStore
from tests.stores.writing import anything, nothing_there, put
from tools.pictures.drawing import quarters, saved, see_through

Keep = Callable[[int, bytes], None]
LIMIT = 200_000
"""Bytes of the largest original."""
JPEG, PNG = saved(quarters(64, 48), "JPEG"), saved(quarters(64, 48), "PNG")


class Adapter(NamedTuple):
    """How to make a store for a folder, and how to place any bytes in it without an upload."""

    make: Callable[[Path], Any]
    keep: Callable[[Any, Path, int, bytes], None]
    writable: bool


def keep_in_folder(_: object, folder: Path, contact: int, data: bytes) -> None:
    temporary = folder / "coming"
    temporary.write_bytes(data)
    os.replace(temporary, folder / f"{contact}.jpg")


def keep_in_memory(store: MemoryStore, _: Path, contact: int, data: bytes) -> None:
    store.keep(contact, data)


ADAPTERS = {
    "memory": Adapter(lambda _: MemoryStore(max_bytes=LIMIT), keep_in_memory, writable=True),
    "directory": Adapter(partial(DirectoryStore, max_bytes=LIMIT, timeout=5.0), keep_in_folder, writable=False),
    "writable directory": Adapter(
        partial(WritableDirectory, max_bytes=LIMIT, timeout=5.0), keep_in_folder, writable=True
    ),
}


@pytest.fixture(params=ADAPTERS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[OriginalStore, Keep]]:
    """A store, and the function that places bytes in it."""
    adapter = ADAPTERS[request.param]
    store = adapter.make(tmp_path)
    yield store, partial(adapter.keep, store, tmp_path)
    await store.close()


@pytest.fixture(params=[name for name, adapter in ADAPTERS.items() if adapter.writable])
async def writable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WritableStore]:
    store = ADAPTERS[request.param].make(tmp_path)
    yield store
    await store.close()


async def found(store: OriginalStore, contact: int = 42) -> Original:
    original = await store.find(contact)
    assert original is not None
    return original


async def test_load_returns_the_original_with_its_bytes_up_to_a_size(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, JPEG)
    assert await store.load(42, len(JPEG)) == (await found(store), JPEG)
    assert await store.load(42, len(JPEG) - 1) == (await found(store), None)
    assert await store.load(43, len(JPEG)) is None
    keep(44, b"")
    with pytest.raises(OriginalEmpty):
        await store.load(44, len(JPEG))


async def test_find_returns_what_is_stored(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, JPEG)
    original = await found(store)
    assert (original.contact, original.size, original.format, original.alpha) == (42, len(JPEG), Format.JPEG, False)
    assert original.modified is not None
    assert original.modified > 1_600_000_000
    assert original.fault is None


async def test_find_takes_the_format_from_the_bytes_and_not_from_the_name(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, saved(see_through(), "PNG"))
    original = await found(store)
    assert (original.format, original.alpha) == (Format.PNG, True)


async def test_find_finds_a_tiff_directory_at_the_end_of_the_file(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    data = saved(see_through(120, 120), "TIFF")
    directory = int.from_bytes(data[4:8], "little")
    moved = data[:4] + len(data + bytes(80_000)).to_bytes(4, "little") + data[8:] + bytes(80_000) + data[directory:]
    keep(42, moved)
    original = await found(store)
    assert (original.format, original.alpha) == (Format.TIFF, True)


@pytest.mark.parametrize("contact", [7, 0, -1, -(2**31)])
async def test_find_returns_none_for_other_contacts(kept: tuple[OriginalStore, Keep], contact: int) -> None:
    store, keep = kept
    keep(42, JPEG)
    assert await store.find(contact) is None


@pytest.mark.parametrize("data", [b"%!PS-Adobe-3.0 EPSF-3.0", b"<svg/>", bytes(LIMIT + 1)])
async def test_original_that_cannot_be_used_has_a_fault(kept: tuple[OriginalStore, Keep], data: bytes) -> None:
    store, keep = kept
    keep(42, data)
    fault = (await found(store)).fault
    assert fault is not None
    assert fault.permanent
    assert isinstance(fault.error(), Unrenderable)


async def test_original_without_bytes_is_no_picture_yet(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, b"")
    with pytest.raises(OriginalEmpty):
        await store.find(42)
    keep(42, JPEG)
    assert await store.find(42) is not None


async def test_find_finds_the_upright_size_wherever_the_header_has_it(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    segments = b"".join(b"\xff\xed" + (60_002).to_bytes(2, "big") + bytes(60_000) for _ in range(2))
    keep(42, JPEG[:2] + segments + JPEG[2:])
    assert (await found(store)).dimensions == (64, 48)


async def test_original_is_read_whole_and_in_pieces(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    data = saved(quarters(64, 48), "BMP")
    keep(42, data)
    original = await found(store)
    assert await store.read(original) == data
    pieces = [piece async for piece in await store.stream(original, 1_000)]
    assert b"".join(pieces) == data
    assert {len(piece) for piece in pieces[:-1]} == {1_000}


async def test_original_is_opened_or_read(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, JPEG)
    opened = await store.open(await found(store))
    if isinstance(opened, OpenFile):
        assert await opened.read() == JPEG
        with closing(opened):
            opened = read_whole(opened.descriptor, opened.identity)
    assert opened == JPEG


async def test_part_of_an_original_is_streamed(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, JPEG)
    original = await found(store)
    for span in (range(1), range(5, 300), range(len(JPEG) - 1, len(JPEG))):
        pieces = [bytes(piece) async for piece in await store.stream(original, 100, span)]
        assert b"".join(pieces) == JPEG[span.start : span.stop]


async def test_another_version_is_never_read_instead(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, JPEG)
    old = await found(store)
    keep(42, saved(see_through(), "PNG"))
    with pytest.raises(OriginalChanged):
        await store.read(old)
    with pytest.raises(OriginalChanged):
        await store.open(old)
    with pytest.raises(OriginalChanged):
        await store.stream(old, 1_000)
    assert (await found(store)).version != old.version


async def test_check_describes_the_store(kept: tuple[OriginalStore, Keep]) -> None:
    assert await kept[0].check()


async def test_put_stores_the_upload(writable: WritableStore) -> None:
    original = await put(writable, 1, PNG[:100], PNG[100:])
    assert original == await writable.find(1)
    assert original.format is Format.PNG
    assert await writable.read(original) == PNG


async def test_put_replaces_the_picture(writable: WritableStore) -> None:
    old = await put(writable, 1, PNG)
    new = await put(writable, 1, JPEG)
    assert await found(writable, 1) == new
    assert await writable.read(new) == JPEG
    with pytest.raises(OriginalChanged):
        await writable.read(old)


async def test_each_put_gives_another_version(writable: WritableStore) -> None:
    assert len({(await put(writable, 1, JPEG)).version for _ in range(150)}) == 150


async def test_version_does_not_return_after_a_delete(writable: WritableStore) -> None:
    """Inodes are reused, and the sizes may be equal."""
    seen = []
    for _ in range(10):
        seen += [(await put(writable, 1, JPEG)).version for _ in range(2)]
        await writable.delete(1, anything)
    assert len(set(seen)) == len(seen)


async def test_upload_is_read_and_replaced_before_put(writable: WritableStore) -> None:
    async with writable.uploading() as upload:
        await upload.write(PNG)
        assert await upload.read() == PNG
        await upload.replace(JPEG)
        original = await writable.put(1, upload, anything)
    assert await writable.read(original) == JPEG


async def test_upload_without_put_is_not_stored(writable: WritableStore) -> None:
    async with writable.uploading() as upload:
        await upload.write(PNG)
        assert await writable.find(1) is None
    assert await writable.find(1) is None


async def test_check_gets_the_present_picture(writable: WritableStore) -> None:
    checked: list[Original | None] = []
    async with writable.uploading() as upload:
        await upload.write(PNG)
        first = await writable.put(1, upload, checked.append)
    await writable.delete(1, checked.append)
    await writable.delete(1, checked.append)
    assert checked == [None, first, None]


async def test_check_that_fails_changes_nothing(writable: WritableStore) -> None:
    first = await put(writable, 1, JPEG)
    async with writable.uploading() as upload:
        await upload.write(PNG)
        with pytest.raises(PreconditionFailed):
            await writable.put(1, upload, nothing_there)
    with pytest.raises(PreconditionFailed):
        await writable.delete(1, nothing_there)
    assert await writable.find(1) == first


async def test_delete_removes_the_picture(writable: WritableStore) -> None:
    await put(writable, 1, JPEG)
    await writable.delete(1, anything)
    assert await writable.find(1) is None
    await writable.delete(1, anything)


async def test_sweep_keeps_pictures_and_uploads_in_progress(writable: WritableStore) -> None:
    first = await put(writable, 1, JPEG)
    async with writable.uploading() as upload:
        await upload.write(PNG)
        await writable.sweep()
        second = await writable.put(2, upload, anything)
    assert [await writable.find(1), await writable.find(2)] == [first, second]
