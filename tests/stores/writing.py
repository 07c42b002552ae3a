"""Uploads to a `WritableStore`, and checks of writes."""

from __future__ import annotations

from service.errors import PreconditionFailed
from service.pictures.ports import WritableStore
from service.pictures.values import Original


def anything(_: Original | None) -> None:
    """The check of a write without conditions."""


def nothing_there(present: Original | None) -> None:
    """Raise `PreconditionFailed` if there is a picture: the check of a write with `If-None-Match: *`."""
    if present is not None:
        raise PreconditionFailed("there is")


async def put(store: WritableStore, contact: int, *pieces: bytes) -> Original:
    """Store an upload of *pieces*, without conditions."""
    async with store.uploading() as upload:
        for piece in pieces:
            await upload.write(piece)
        return await store.put(contact, upload, anything)
