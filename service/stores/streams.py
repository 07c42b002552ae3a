"""Stored pictures in pieces, for answers that are sent while their file is read."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from io import BufferedReader

from aiofiles.threadpool import wrap
from aiofiles.threadpool.binary import AsyncBufferedReader

from service.pictures.values import Original, OriginalChanged, Pieces
from service.stores import cached_files
from service.stores.near import Nearness
from service.stores.os_errors import as_store_errors
from service.stores.versions import require_version
from service.system.open_file import FileIdentity, file_identity
from service.system.threads import Threads

_CLOSE_TIMEOUT = 0.5
"""Seconds to wait until the files of streams are closed. A read that hangs holds its file."""


class Streams:
    """Streams of open files, which *threads* read unless the kernel holds the bytes in memory.

    *timeout* is the number of seconds that one read may take.
    """

    def __init__(self, threads: Threads, nearness: Nearness, timeout: float) -> None:
        self._threads, self._nearness, self._timeout = threads, nearness, timeout
        self._closing: set[asyncio.Future[None]] = set()

    async def start(
        self, opened: BufferedReader, identity: FileIdentity, original: Original, span: range, piece: int
    ) -> Pieces:
        """Return the bytes of *original* at *span*, from the *opened* file with that *identity*, in pieces.

        A piece has *piece* bytes at most. The pieces raise `OriginalChanged` if the file changes, and the errors of the
        store. They close the file.
        """
        pieces = self._pieces(wrap(opened, executor=self._threads), identity, original, span, piece)
        await anext(pieces)  # a generator that has started closes the file when it is dropped
        return pieces

    async def close(self) -> None:
        """Wait until the files of streams that have ended are closed, for half a second at most."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_TIMEOUT)

    async def _pieces(
        self, file: AsyncBufferedReader, identity: FileIdentity, original: Original, span: range, piece: int
    ) -> Pieces:
        at, position, name = 0, span.start, str(file.name)  # *at* is where the file object would read
        local = self._nearness.devices.get(identity[0])
        try:
            yield b""
            while position < span.stop:
                size = min(piece, span.stop - position)
                data = cached_files.read_if_cached(file.fileno(), position, size) if local else None
                if data is None:
                    if at != position:
                        await as_store_errors(partial(file.seek, position), self._timeout, name)
                    data = await as_store_errors(partial(file.read, size), self._timeout, name)
                    at = position + len(data)
                if not data:
                    raise OriginalChanged  # truncated since it was opened
                position += len(data)
                unchanged = local and file_identity(os.fstat(file.fileno())) == identity
                if position == span.stop and not unchanged:
                    # A response that is cut short is better than a mixture of two pictures.
                    check = partial(_require_unchanged, file.fileno(), identity, original.version)
                    await as_store_errors(partial(self._threads.run, check), self._timeout, name)
                yield data
        finally:
            self._close_soon(file)

    def _close_soon(self, file: AsyncBufferedReader) -> None:
        """Close *file* without waiting: a read that does not return holds it."""
        task = asyncio.ensure_future(file.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _require_unchanged(file: int, identity: FileIdentity, version: str) -> None:
    """Raise `OriginalChanged` unless the open *file* still has its *identity* or its *version*.

    A new change time alone is no change of the bytes: a file that is replaced by a rename loses a link.
    """
    if file_identity(os.fstat(file)) != identity:
        require_version(file, version)
