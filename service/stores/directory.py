"""Originals in a folder: `{id}.{suffix}`, or `{id modulo 1000}/{id}.{suffix}` for large sets.

A look-up is a fixed number of stats, whatever the number of contacts: there is no index. Files are read in threads.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import aiofiles
from aiofiles.threadpool.binary import AsyncBufferedReader

from service.errors import N_, StoreFailed, StoreFull, StoreTimedOut
from service.pictures.values import Original, OriginalChanged, Pieces
from service.stores.judge import HEAD_BYTES, judge

T = TypeVar("T")

_SUFFIXES = ("jpg", "jpeg", "png", "apng", "gif", "tif", "tiff", "webp", "avif", "bmp", "mpo", "heic")
SUFFIXES = _SUFFIXES + tuple(suffix.upper() for suffix in _SUFFIXES)
"""In the order in which they are tried; the first that exists is the picture."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""There is no room: on the file system, in the user's quota, or for a file of that size."""
_LAST_SECOND = 253_402_300_799
"""Of the year 9999."""
_THREADS = 8
"""Readings at once. A hung disk then holds these threads and no others."""


def shard(contact: int) -> str:
    """The sub-folder of a contact in large sets: 1,000 of them, so a million contacts lie 1,000 to a folder."""
    return f"{contact % 1000:03d}"


class DirectoryStore:
    """An `OriginalStore` in *root*. *max_bytes* bounds an original; *timeout* (seconds) one reading."""

    def __init__(self, root: Path, *, max_bytes: int, timeout: float) -> None:
        self._root, self._max_bytes, self._timeout = root, max_bytes, timeout
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        self._closing: set[asyncio.Future[None]] = set()

    async def look(self, contact: int) -> Original | None:
        return await self._bounded(lambda: self._in_thread(self._look, contact))

    async def read(self, original: Original) -> bytes:
        return await self._bounded(lambda: self._in_thread(self._read, original))

    async def stream(self, original: Original, piece: int, span: range | None = None) -> Pieces:
        file = await self._bounded(lambda: self._opened(original))
        pieces = self._pieces(file, original, range(original.size) if span is None else span, piece)
        await anext(pieces)  # begun, so that whoever drops it closes the file
        return pieces

    async def check(self) -> str:
        def count() -> str:
            with os.scandir(self._root) as entries:
                return "has files" if next(entries, None) else "is empty"

        return f"{self._root} {await self._bounded(lambda: self._in_thread(count))}"

    async def close(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing, timeout=self._timeout)
        self._threads.shutdown(wait=False, cancel_futures=True)  # a hung thread is not waited for

    async def _opened(self, original: Original) -> AsyncBufferedReader:
        path = await self._in_thread(self._place, original.contact)
        try:
            file = await aiofiles.open(path, "rb", executor=self._threads)
        except FileNotFoundError as error:
            raise OriginalChanged from error
        try:
            await self._expect(original.version, file)
        except BaseException:
            self._let_go(file)
            raise
        return file

    async def _expect(self, version: str, file: AsyncBufferedReader) -> None:
        """Raise `OriginalChanged` unless *file* is still that *version*."""
        if _version(await self._in_thread(os.fstat, file.fileno())) != version:
            raise OriginalChanged

    def _let_go(self, file: AsyncBufferedReader) -> None:
        """Close *file* without waiting: a read that hangs holds it, and is given up by its time limit alone."""
        task = asyncio.ensure_future(file.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _pieces(self, file: AsyncBufferedReader, original: Original, span: range, piece: int) -> Pieces:
        left = len(span)
        try:
            yield b""
            if span.start:
                await self._bounded(partial(file.seek, span.start))
            while left > 0:
                data = await self._bounded(partial(file.read, min(piece, left)))
                if not data:
                    raise OriginalChanged  # cut short since it was opened
                left -= len(data)
                if left == 0:  # overwritten since? A cut is better than a mixture
                    await self._bounded(lambda: self._expect(original.version, file))
                yield data
        finally:
            self._let_go(file)

    def _look(self, contact: int) -> Original | None:
        for path in self._candidates(contact):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue  # gone since it was seen
            with file:
                return self._judged(contact, file)
        self._require_root()
        return None

    def _judged(self, contact: int, file: BinaryIO) -> Original:
        """What *file* is as a picture of *contact*; it is read from its beginning."""
        status = os.fstat(file.fileno())
        return judge(
            contact,
            version=_version(status),
            size=status.st_size,
            modified=_modified(status),
            max_bytes=self._max_bytes,
            head=file.read(HEAD_BYTES),
            rest=partial(file.read, self._max_bytes),
        )

    def _read(self, original: Original) -> bytes:
        """All of it in one go: each way into a thread and back costs more than the reading of a usual picture."""
        path = self._place(original.contact)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise OriginalChanged from error
        with file:
            before = _version(os.fstat(file.fileno()))
            data = file.read(original.size)
            after = _version(os.fstat(file.fileno()))
        if not before == after == original.version or len(data) != original.size:
            raise OriginalChanged
        return data

    def _candidates(self, contact: int) -> Iterator[Path]:
        if contact <= 0:
            return
        for folder in (self._root, self._root / shard(contact)):
            for suffix in SUFFIXES:
                path = folder / f"{contact}.{suffix}"
                try:
                    status = path.stat()
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    if error.errno == errno.ELOOP:  # a link that leads to itself is no picture
                        continue
                    raise
                if stat.S_ISREG(status.st_mode):  # opening a named pipe would block
                    yield path

    def _place(self, contact: int) -> Path:
        for path in self._candidates(contact):
            return path
        self._require_root()
        raise OriginalChanged

    def _require_root(self) -> None:
        """Raise OSError where the folder is gone: that must not look like contacts without pictures."""
        self._root.stat()

    def _in_thread(self, call: Callable[..., T], *args: object) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    async def _bounded(self, call: Callable[[], Awaitable[T]]) -> T:
        return await told(call, self._timeout)


async def told(call: Callable[[], Awaitable[T]], timeout: float | None) -> T:
    """What *call* gives within *timeout* seconds. Its time-outs and the system's errors are told as the store's."""
    try:
        async with asyncio.timeout(timeout):
            return await call()
    except TimeoutError as error:
        raise StoreTimedOut(N_("The place where pictures are stored took too long.")) from error
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(N_("The place where pictures are stored is full.")) from error
        raise StoreFailed(N_("The place where pictures are stored failed.")) from error


def _modified(status: os.stat_result) -> int | None:
    """When the file was changed, in Unix seconds; None for a time that HTTP's dates cannot tell (RFC 9110 5.6.7)."""
    seconds = int(status.st_mtime)
    return seconds if 0 <= seconds <= _LAST_SECOND else None


def _version(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
