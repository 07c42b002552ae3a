"""Originals in memory: an adapter of `WritableStore` without a folder."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.pictures.ports import Check, Loaded, Upload
from service.pictures.values import Original, OriginalChanged, OriginalEmpty, Pieces
from service.pictures.writes import stored_original
from service.stores.describe import describe


class MemoryStore:
    """A `WritableStore` in a dict. `keep` changes it without an upload."""

    def __init__(self, *, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._pictures: dict[int, tuple[bytes, str, int]] = {}
        self._kept = 0

    def keep(self, contact: int, data: bytes, modified: int = 1_700_000_000) -> None:
        """Store *data* as a new version of the picture of *contact*. *modified* is in Unix seconds."""
        self._kept += 1
        self._pictures[contact] = data, str(self._kept), modified

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        if contact not in self._pictures:
            return None
        data, version, modified = self._pictures[contact]
        if not data:
            raise OriginalEmpty
        return describe(contact, data, version=version, modified=modified, max_bytes=self._max_bytes)

    near = False

    def load_at_once(self, contact: int, most: int) -> Loaded | None:
        return None

    async def load(self, contact: int, most: int) -> Loaded | None:
        original = await self.find(contact)
        if original is None:
            return None
        return Loaded(original, self._pictures[contact][0] if original.size <= most else None)

    async def read(self, original: Original) -> bytes:
        data, version, _ = self._pictures.get(original.contact, (b"", None, 0))
        if version != original.version:
            raise OriginalChanged
        return data

    async def open(self, original: Original) -> bytes:
        return await self.read(original)

    async def stream(self, original: Original, piece: int, span: range | None = None) -> Pieces:
        data = await self.read(original)
        if span is not None:
            data = data[span.start : span.stop]

        async def pieces() -> Pieces:
            for position in range(0, len(data), piece):
                yield data[position : position + piece]

        return pieces()

    @asynccontextmanager
    async def uploading(self) -> AsyncIterator[Upload]:
        yield _Upload()

    async def put(self, contact: int, upload: Upload, check: Check) -> Original:
        check(await stored_original(self, contact))
        self.keep(contact, await upload.read(), int(time.time()))
        original = await self.find(contact)
        assert original is not None
        return original

    async def delete(self, contact: int, check: Check) -> None:
        check(await stored_original(self, contact))
        self._pictures.pop(contact, None)

    async def sweep(self) -> None:
        """Do nothing: no upload outlives the process."""

    async def check(self) -> str:
        return f"memory, {len(self._pictures)} pictures"

    async def identity(self) -> str | None:
        return None

    async def close(self) -> None:
        self._pictures.clear()


class _Upload:
    def __init__(self) -> None:
        self._data = b""

    async def write(self, piece: bytes) -> None:
        self._data += piece

    async def read(self) -> bytes:
        return self._data

    async def open(self) -> bytes:
        return self._data

    async def replace(self, data: bytes) -> None:
        self._data = data
