"""Originals in memory, for tests and for trying things out."""

from __future__ import annotations

from service.pictures.values import Original, OriginalChanged, Pieces
from service.stores.judge import HEAD_BYTES, judge


class MemoryStore:
    """An `OriginalStore` on a dict that the caller fills through `keep` and `drop`."""

    def __init__(self, *, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._pictures: dict[int, tuple[bytes, str, int]] = {}
        self._kept = 0

    def keep(self, contact: int, data: bytes, modified: int = 1_700_000_000) -> None:
        """Store *data* as the picture of *contact*, as a new version."""
        self._kept += 1
        self._pictures[contact] = data, str(self._kept), modified

    def drop(self, contact: int) -> None:
        """Remove the picture of *contact*, if there is one."""
        self._pictures.pop(contact, None)

    async def look(self, contact: int) -> Original | None:
        if contact not in self._pictures:
            return None
        data, version, modified = self._pictures[contact]
        return judge(
            contact,
            version=version,
            size=len(data),
            modified=modified,
            max_bytes=self._max_bytes,
            head=data[:HEAD_BYTES],
            rest=lambda: data[HEAD_BYTES:],
        )

    async def read(self, original: Original) -> bytes:
        data, version, _ = self._pictures.get(original.contact, (b"", None, 0))
        if version != original.version:
            raise OriginalChanged
        return data

    async def stream(self, original: Original, piece: int) -> Pieces:
        data = await self.read(original)

        async def pieces() -> Pieces:
            for at in range(0, len(data), piece):
                yield data[at : at + piece]

        return pieces()

    async def check(self) -> str:
        return f"memory, {len(self._pictures)} pictures"

    async def close(self) -> None:
        self._pictures.clear()
