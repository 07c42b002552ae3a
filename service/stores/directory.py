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
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import aiofiles
import structlog
from aiofiles.threadpool.binary import AsyncBufferedReader

from service.errors import N_, StoreFailed, StoreFull, StoreTimedOut
from service.pictures.values import LAST_SECOND, Original, OriginalChanged, OriginalEmpty, Pieces
from service.stores.describe import HEAD_BYTES, describe
from service.stores.names import contact_of, files, is_shard
from service.stores.versions import identity, read_at, steady, verified, version

T = TypeVar("T")
log = structlog.get_logger()

_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # what has become a named pipe must not block
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""There is no room: on the file system, in the user's quota, or for a file of that size."""
_THREADS = 8
"""Readings at once. A hung disk then holds these threads and no others."""


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
        file, seen = await self._bounded(lambda: self._opened(original))
        pieces = self._pieces(file, seen, original, range(original.size) if span is None else span, piece)
        await anext(pieces)  # begun, so that whoever drops it closes the file
        return pieces

    async def check(self) -> str:
        def count() -> str:
            with os.scandir(self._root) as entries:
                return "has files" if next(entries, None) else "is empty"

        return f"{self._root} {await self._bounded(lambda: self._in_thread(count))}"

    async def sample(self, most: int) -> tuple[int, list[OSError]]:
        """Read the beginning of the first *most* pictures in the folder, as the system lists it.

        Gives the number of pictures, and the errors of those that cannot be read.
        """
        paths = await self._bounded(lambda: self._in_thread(lambda: list(islice(self._listed(), most))))
        faults = [await self._bounded(partial(self._in_thread, _fault_of, path)) for path in paths]
        return len(paths), [fault for fault in faults if fault is not None]

    async def close(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing, timeout=self._timeout)
        self._threads.shutdown(wait=False, cancel_futures=True)  # a hung thread is not waited for

    async def _opened(self, original: Original) -> tuple[AsyncBufferedReader, tuple[int, ...]]:
        """The file of *original*, whose version it has, and its identity."""
        path = await self._in_thread(self._place, original.contact)
        try:
            file = await aiofiles.open(path, "rb", executor=self._threads)
        except FileNotFoundError as error:
            raise OriginalChanged from error
        try:
            with _naming(path):
                return file, await self._in_thread(verified, file.fileno(), original.version)
        except BaseException:
            self._let_go(file)
            raise

    def _let_go(self, file: AsyncBufferedReader) -> None:
        """Close *file* without waiting: a read that hangs holds it, and is given up by its time limit alone."""
        task = asyncio.ensure_future(file.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _pieces(
        self, file: AsyncBufferedReader, seen: tuple[int, ...], original: Original, span: range, piece: int
    ) -> Pieces:
        left, name = len(span), str(file.name)
        try:
            yield b""
            if span.start:
                await self._bounded(partial(file.seek, span.start), name)
            while left > 0:
                data = await self._bounded(partial(file.read, min(piece, left)), name)
                if not data:
                    raise OriginalChanged  # cut short since it was opened
                left -= len(data)
                if left == 0:  # overwritten since? A cut is better than a mixture
                    still = partial(_require_unchanged, file.fileno(), seen, original.version)
                    await self._bounded(partial(self._in_thread, still), name)
                yield data
        finally:
            self._let_go(file)

    def _look(self, contact: int) -> Original | None:
        empty = False
        for path, size in files(self._root, contact):
            if size == 0:
                empty = True
                continue
            try:
                with _open(path) as file:
                    original = self._judged(contact, file)
            except FileNotFoundError:
                continue  # gone since it was seen
            if original.size:
                return original
            empty = True
        if empty:
            raise OriginalEmpty
        self._require_root()
        return None

    def _judged(self, contact: int, file: int) -> Original:
        """What the open *file* is as a picture of *contact*. One that is being written has changed when it is read."""

        def seen(status: os.stat_result) -> Original:
            head = read_at(file, 0, min(HEAD_BYTES, status.st_size))
            return describe(
                contact,
                version=version(status, head),
                size=status.st_size,
                modified=_modified(status),
                max_bytes=self._max_bytes,
                head=head,
                read=partial(read_at, file),
            )

        return steady(file, seen)[1]

    def _read(self, original: Original) -> bytes:
        """All of it in one go: each way into a thread and back costs more than the reading of a usual picture."""
        path = self._place(original.contact)
        try:
            with _open(path) as file:
                if os.fstat(file).st_size != original.size:
                    raise OriginalChanged
                status, data, same = steady(file, lambda _: read_at(file, 0, original.size))
        except FileNotFoundError as error:
            raise OriginalChanged from error
        if not same or len(data) != status.st_size or version(status, data) != original.version:
            raise OriginalChanged
        return data

    def _place(self, contact: int) -> str:
        for path, size in files(self._root, contact):
            if size:
                return path
        self._require_root()
        raise OriginalChanged

    def _listed(self) -> Iterator[str]:
        """The pictures in the folder, then those in its shards."""
        shards = []
        with os.scandir(self._root) as entries:
            for entry in entries:
                if is_shard(entry.name):
                    shards.append(entry.path)
                elif contact_of(entry.name) is not None and entry.is_file():
                    yield entry.path
        for folder in shards:
            with os.scandir(folder) as entries:
                yield from (each.path for each in entries if contact_of(each.name) is not None and each.is_file())

    def _require_root(self) -> None:
        """Raise OSError where the folder is gone: that must not look like contacts without pictures."""
        if not stat.S_ISDIR(os.stat(self._root).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._root))

    def _in_thread(self, call: Callable[..., T], *args: object) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    async def _bounded(self, call: Callable[[], Awaitable[T]], file: str | None = None) -> T:
        return await as_store_errors(call, self._timeout, file)


async def as_store_errors(call: Callable[[], Awaitable[T]], timeout: float | None, file: str | None = None) -> T:
    """What *call* gives within *timeout* seconds. Raises `StoreTimedOut`, `StoreFull` or `StoreFailed` for an OSError.

    The log names the file (*file* where the error names none) and the error number; answers to requests name neither.
    """
    try:
        async with asyncio.timeout(timeout):
            return await call()
    except OSError as error:
        if error.errno is not None:
            log.warning("store.failed", **described(error, file))
        if isinstance(error, TimeoutError):
            raise StoreTimedOut(N_("The place where pictures are stored took too long.")) from error
        if error.errno in _FULL:
            raise StoreFull(N_("The place where pictures are stored is full.")) from error
        raise StoreFailed(N_("The place where pictures are stored failed.")) from error


def described(error: OSError, file: str | None = None) -> dict[str, str | None]:
    """The fields of a log event for *error*. *file* is its file, where the error names none."""
    code = errno.errorcode.get(error.errno or 0, str(error.errno))
    return {"file": error.filename or file, "errno": code, "reason": error.strerror or repr(error)}


@contextmanager
def _open(path: str) -> Iterator[int]:
    """The descriptor of the file at *path*, open for reading. An OSError names the file."""
    with _naming(path):
        file = os.open(path, _READING)
        try:
            yield file
        finally:
            os.close(file)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Put *path* into an OSError that names no file, as those of an open file do."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


def _require_unchanged(file: int, seen: tuple[int, ...], expected: str) -> None:
    """Raise `OriginalChanged` unless the open *file* has the identity *seen* before, or still the *expected* version.

    The change time alone does not show that bytes changed: a file that is replaced by a rename loses a link.
    """
    if identity(os.fstat(file)) != seen:
        verified(file, expected)


def _fault_of(path: str) -> OSError | None:
    """The error when the beginning of the file is read, if any."""
    try:
        with _open(path) as file:
            read_at(file, 0, HEAD_BYTES)
    except OSError as error:
        return error
    return None


def _modified(status: os.stat_result) -> int | None:
    """When the file was changed, in Unix seconds; None for a time that HTTP's dates cannot tell (RFC 9110 5.6.7)."""
    seconds = int(status.st_mtime)
    return seconds if 0 <= seconds <= LAST_SECOND else None
