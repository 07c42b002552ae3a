"""One suite for every store of originals."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from service.errors import Unrenderable
from service.formats import Format
from service.pictures.ports import OriginalStore
from service.pictures.values import OriginalChanged, OriginalEmpty
from service.stores.directory import DirectoryStore
from service.stores.memory import MemoryStore
from tests.pictures_in_code import quarters, saved, see_through

Keep = Callable[[int, bytes], None]
LIMIT = 200_000


@pytest.fixture(params=["memory", "directory"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[OriginalStore, Keep]]:
    store: OriginalStore
    if request.param == "memory":
        memory = store = MemoryStore(max_bytes=LIMIT)
        keep: Keep = memory.keep
    else:
        store = DirectoryStore(tmp_path, max_bytes=LIMIT, timeout=5.0)

        def keep(contact: int, data: bytes) -> None:
            temporary = tmp_path / "coming"
            temporary.write_bytes(data)
            os.replace(temporary, tmp_path / f"{contact}.jpg")

    yield store, keep
    await store.close()


async def test_tells_what_is_stored(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    data = saved(quarters(64, 48), "JPEG")
    keep(42, data)
    found = await store.look(42)
    assert found is not None
    assert (found.contact, found.size, found.format, found.alpha) == (42, len(data), Format.JPEG, False)
    assert found.modified > 1_600_000_000
    assert found.fault is None


async def test_tells_the_format_from_the_bytes_and_not_from_the_name(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, saved(see_through(), "PNG"))
    found = await store.look(42)
    assert found is not None
    assert (found.format, found.alpha) == (Format.PNG, True)


async def test_finds_a_tiff_directory_at_the_end_of_the_file(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    data = saved(see_through(120, 120), "TIFF")
    directory = int.from_bytes(data[4:8], "little")
    moved = data[:4] + len(data + bytes(80_000)).to_bytes(4, "little") + data[8:] + bytes(80_000) + data[directory:]
    keep(42, moved)
    found = await store.look(42)
    assert found is not None
    assert (found.format, found.alpha) == (Format.TIFF, True)


@pytest.mark.parametrize("contact", [7, 0, -1, -(2**31)])
async def test_nothing_is_stored_for_others(kept: tuple[OriginalStore, Keep], contact: int) -> None:
    store, keep = kept
    keep(42, saved(quarters(64, 48), "JPEG"))
    assert await store.look(contact) is None


@pytest.mark.parametrize("data", [b"%!PS-Adobe-3.0 EPSF-3.0", b"<svg/>", bytes(LIMIT + 1)])
async def test_what_is_no_picture_or_too_large_carries_a_fault(kept: tuple[OriginalStore, Keep], data: bytes) -> None:
    store, keep = kept
    keep(42, data)
    found = await store.look(42)
    assert found is not None
    assert found.fault is not None
    assert found.fault.permanent
    assert isinstance(found.fault.error(), Unrenderable)


async def test_a_picture_without_bytes_is_none_yet(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, b"")
    with pytest.raises(OriginalEmpty):
        await store.look(42)
    keep(42, saved(quarters(64, 48), "JPEG"))
    assert await store.look(42) is not None


async def test_tells_the_upright_size_wherever_the_header_has_it(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    jpeg = saved(quarters(64, 48), "JPEG")
    segments = b"".join(b"\xff\xed" + (60_002).to_bytes(2, "big") + bytes(60_000) for _ in range(2))
    keep(42, jpeg[:2] + segments + jpeg[2:])
    found = await store.look(42)
    assert found is not None
    assert found.dimensions == (64, 48)


async def test_reads_all_of_it_whole_and_in_pieces(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    data = saved(quarters(64, 48), "BMP")
    keep(42, data)
    found = await store.look(42)
    assert found is not None
    assert await store.read(found) == data
    pieces = [piece async for piece in await store.stream(found, 1_000)]
    assert b"".join(pieces) == data
    assert {len(piece) for piece in pieces[:-1]} == {1_000}


async def test_another_version_is_never_read_for_the_one_that_was_seen(kept: tuple[OriginalStore, Keep]) -> None:
    store, keep = kept
    keep(42, saved(quarters(64, 48), "JPEG"))
    seen = await store.look(42)
    assert seen is not None
    keep(42, saved(see_through(), "PNG"))
    with pytest.raises(OriginalChanged):
        await store.read(seen)
    with pytest.raises(OriginalChanged):
        await store.stream(seen, 1_000)
    again = await store.look(42)
    assert again is not None
    assert again.version != seen.version


async def test_says_what_it_is(kept: tuple[OriginalStore, Keep]) -> None:
    assert await kept[0].check()
