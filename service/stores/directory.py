"""Originals in a folder: `{id}.{suffix}`, or `{id modulo 1000}/{id}.{suffix}` for large sets.

A lookup takes a fixed number of calls of `os.stat`, whatever the number of contacts: there is no index. Files are read
in threads.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from aiofiles.threadpool import wrap
from aiofiles.threadpool.binary import AsyncBufferedReader

from service.imaging.containers.window import HEAD_BYTES, Beginning, Window
from service.open_file import FileIdentity, OpenFile, file_identity, read_at
from service.pictures.ports import Loaded
from service.pictures.values import LAST_SECOND, Original, OriginalChanged, OriginalEmpty, Pieces
from service.stores import cached_files
from service.stores.describe import describe
from service.stores.descriptions import Descriptions
from service.stores.folder_in_force import FolderInForce
from service.stores.found_files import FoundFiles
from service.stores.layout import Layout
from service.stores.names import files_of, paths_of, pictures_in
from service.stores.near import Nearness, is_near
from service.stores.os_errors import as_store_errors
from service.stores.versions import picture_of, read_unchanged, require_version, version_of

T = TypeVar("T")

_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a named pipe must not block
_THREADS = 8
"""Threads for reading. A disk that does not respond blocks these and no others."""


class DirectoryStore:
    """An `OriginalStore` in the folder *root*.

    *max_bytes* is the largest size of an original. *timeout* is the number of seconds that one operation may take.
    The processes of a service share *in_force*. *near* says whether the folder is near; "auto": as its files show.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int,
        timeout: float,
        in_force: FolderInForce | None = None,
        near: bool | Literal["auto"] = False,
    ) -> None:
        self._nearness, self._descriptions = Nearness(near), Descriptions()
        self._root, self._max_bytes, self._timeout = root, max_bytes, timeout
        self._folder = os.fspath(root)
        self._layout = Layout(self._folder)
        self._in_force = in_force or FolderInForce(root)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        self._closing: set[asyncio.Future[None]] = set()
        self._found = FoundFiles()

    @property
    def near(self) -> bool:
        return self._nearness.near

    async def load(self, contact: int, most: int) -> Loaded | None:
        try:
            return self._in_cached(contact, lambda file: self._load_cached(contact, file, most))
        except OSError:
            pass  # not all of it is in the kernel's memory, or the file is unusual: a thread finds out
        return await self._bounded(lambda: self._in_thread(self._load, contact, False, None, most))

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        opened: list[OpenFile] = []
        to_open = None if known else opened
        original: Original | None
        try:
            original = self._in_cached(contact, lambda file: self._load_cached(contact, file, 0, to_open)).original
        except OSError:
            opened.clear()
            original = await self._bounded(partial(self._in_thread, self._find, contact, known, to_open))
        if original is not None and opened:
            self._found.keep(original, opened[0])
        return original

    async def read(self, original: Original) -> bytes:
        return await self._bounded(lambda: self._in_thread(self._read, original))

    async def open(self, original: Original) -> bytes | OpenFile:
        if (file := self._found.take(original)) is not None:
            return file
        return await self._bounded(lambda: self._in_thread(self._open, original))

    async def stream(self, original: Original, piece: int, span: range | None = None) -> Pieces:
        opened, identity = await self._bounded(lambda: self._in_thread(self._open_original, original))
        file = wrap(opened, executor=self._threads)
        pieces = self._pieces(file, identity, original, range(original.size) if span is None else span, piece)
        await anext(pieces)  # a generator that has started closes the file when it is dropped
        return pieces

    async def check(self) -> str:
        def describe_folder() -> str:
            self._in_force.look()
            with os.scandir(self._root) as entries:
                return "has files" if next(entries, None) else "is empty"

        return f"{self._root} {await self._bounded(lambda: self._in_thread(describe_folder))}"

    async def is_in_force(self) -> bool:
        """Return whether the folder at the path may be used. A failure is not logged: this is asked in a loop."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._in_thread(self._in_force.require)
        except OSError:
            return False
        return True

    async def identity(self) -> str | None:
        return await self._bounded(lambda: self._in_thread(self._in_force.identity))

    async def sample(self, limit: int) -> tuple[int, list[OSError]]:
        """Read the beginning of the first *limit* pictures in the folder, in the order in which the system lists them.

        Return the number of pictures, and the errors of those that cannot be read.
        """
        found = await self._bounded(lambda: self._in_thread(lambda: list(islice(pictures_in(self._root), limit))))
        errors = [await self._bounded(partial(self._in_thread, _read_error, path)) for _, path in found]
        return len(found), [error for error in errors if error is not None]

    async def close(self) -> None:
        self._found.close()
        if self._closing:
            await asyncio.wait(self._closing, timeout=self._timeout)
        self._threads.shutdown(wait=False, cancel_futures=True)  # a thread that does not respond must not delay this

    def _close_soon(self, file: AsyncBufferedReader) -> None:
        """Close *file* without waiting: a read that does not return holds it."""
        task = asyncio.ensure_future(file.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

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
                        await self._bounded(partial(file.seek, position), name)
                    data = await self._bounded(partial(file.read, size), name)
                    at = position + len(data)
                if not data:
                    raise OriginalChanged  # truncated since it was opened
                position += len(data)
                unchanged = local and file_identity(os.fstat(file.fileno())) == identity
                if position == span.stop and not unchanged:
                    # A response that is cut short is better than a mixture of two pictures.
                    check = partial(_require_unchanged, file.fileno(), identity, original.version)
                    await self._bounded(partial(self._in_thread, check), name)
                yield data
        finally:
            self._close_soon(file)

    def _open_original(self, original: Original) -> tuple[BufferedReader, FileIdentity]:
        """Open the file of *original*, and return it with its identity once its version is verified."""
        path = self._path_of(original.contact)
        try:
            file = os.fdopen(os.open(path, _READ_FLAGS), "rb")
        except FileNotFoundError as error:
            raise OriginalChanged from error
        try:
            with _naming(path):
                return file, require_version(file.fileno(), original.version)
        except BaseException:
            file.close()
            raise

    def _find(self, contact: int, known: bool = False, opened: list[OpenFile] | None = None) -> Original | None:
        """Find the picture of *contact*. Its file is added to *opened*, if another process can read it."""
        loaded = self._load(contact, known, opened)
        return None if loaded is None else loaded.original

    def _load(self, contact: int, known: bool, opened: list[OpenFile] | None = None, most: int = 0) -> Loaded | None:
        """Find the same, with its bytes if there are *most* at most."""
        empty, folder = False, os.stat(self._root)
        local = self._nearness.devices.get(folder.st_dev, False)  # elsewhere, the times may be those of a while ago
        sharded = local and self._layout.is_sharded(folder, contact)
        for path, size in files_of(self._root, contact, sharded=sharded):
            if size == 0:
                empty = True
                continue
            try:
                with _open(path) as file:
                    loaded, identity = self._described(contact, file, most, cached=False)
                    original = loaded.original
                    if opened is not None and identity is not None and not original.fault and is_near(file):
                        opened.append(self._opened(original, file, identity))
            except FileNotFoundError:
                continue  # removed since it was listed
            if original.size:
                self._in_force.present(contact)
                if self._nearness.devices.get(folder.st_dev):
                    self._layout.learn(folder)
                return loaded
            empty = True
        if empty:
            self._in_force.require()
            raise OriginalEmpty
        self._in_force.absent(contact, known=known)
        return None

    def _in_cached(self, contact: int, read: Callable[[int], T]) -> T:
        """Return the result of *read* for the open file of the picture, without waiting for the disk.

        Raise OSError if that cannot be done, if there is no picture, and if *read* does.
        """
        if not self._nearness.local:
            raise BlockingIOError  # even the status of a folder may wait for a network
        folder = cached_files.open_folder(self._folder)
        try:
            status = os.fstat(folder)
            if not self._nearness.devices.get(status.st_dev) or self._layout.is_unknown(status):
                raise BlockingIOError
            if (marker := self._in_force.marker) and not cached_files.exists(folder, marker):
                raise BlockingIOError
            paths = paths_of(contact, sharded=self._layout.is_sharded(status, contact))
            files = (cached_files.open_file(folder, path) for path in paths)
            file = next((each for each in files if each is not None), None)
            if file is None:
                raise BlockingIOError
            try:
                result = read(file)
            finally:
                os.close(file)
            if not self._in_force.present_in(status, contact):
                raise BlockingIOError
            return result
        finally:
            os.close(folder)

    def _load_cached(self, contact: int, file: int, most: int, opened: list[OpenFile] | None = None) -> Loaded:
        """Return the same as `_load` for the open *file*.

        Raise OSError if the file is not in memory, if its header is not short, and if it may be no sound picture.
        """
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            raise BlockingIOError
        loaded, identity = self._described(contact, file, most, cached=True)
        if identity is None or loaded.original.fault:
            raise BlockingIOError
        if opened is not None:
            opened.append(self._opened(loaded.original, file, identity))
        return loaded

    def _described(self, contact: int, file: int, most: int, *, cached: bool) -> tuple[Loaded, FileIdentity | None]:
        """Describe the open *file* as a picture of *contact*, with its bytes if there are *most* at most.

        Return its identity, too. If it is *cached*, raise BlockingIOError instead of waiting or taking milliseconds.

        A file that is being written may give a mixture, and no identity. Its version then differs when it is read.
        """

        def described(status: os.stat_result) -> Loaded:
            size = status.st_size
            read = cached_files.read if cached else read_at
            data = read(file, 0, size if size <= most else min(HEAD_BYTES, size))
            version, modified = version_of(status, data), _modified(status)
            original = self._descriptions.find(contact, version, size, modified)
            if original is None:
                seen = Beginning(data, size) if cached else Window(data, size, partial(read_at, file))
                original = describe(contact, seen, version=version, modified=modified, max_bytes=self._max_bytes)
                if len(data) == size:
                    self._descriptions.keep(original)
            return Loaded(original, data if len(data) == size <= most else None)

        status, loaded, same = read_unchanged(file, described)
        self._nearness.note(file, status.st_dev)
        return (loaded, file_identity(status)) if same else (Loaded(loaded.original, None), None)

    def _read(self, original: Original) -> bytes:
        """Read all of it in one call: a change of threads takes longer than reading a usual picture."""
        path = self._path_of(original.contact)
        try:
            with _open(path) as file:
                if os.fstat(file).st_size != original.size:
                    raise OriginalChanged
                status, data, same = read_unchanged(file, lambda _: read_at(file, 0, original.size))
        except FileNotFoundError as error:
            raise OriginalChanged from error
        if not same or len(data) != status.st_size or version_of(status, data) != original.version:
            raise OriginalChanged
        return data

    def _open(self, original: Original) -> bytes | OpenFile:
        """Open the file and verify its version. Read it if it is not local, as another process might wait for it."""
        path = self._path_of(original.contact)
        try:
            with _open(path) as file:
                if is_near(file):
                    return self._opened(original, file, require_version(file, original.version))
        except FileNotFoundError as error:
            raise OriginalChanged from error
        return self._read(original)

    def _opened(self, original: Original, file: int, identity: FileIdentity) -> OpenFile:
        return OpenFile(os.dup(file), identity, picture_of(original.version), lambda: self.read(original))

    def _path_of(self, contact: int) -> str:
        for path, size in files_of(self._root, contact):
            if size:
                return path
        self._in_force.require()
        raise OriginalChanged

    def _in_thread(self, call: Callable[..., T], *args: object) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    async def _bounded(self, call: Callable[[], Awaitable[T]], file: str | None = None) -> T:
        return await as_store_errors(call, self._timeout, file)


@contextmanager
def _open(path: str) -> Iterator[int]:
    """Open the file at *path* for reading, and yield its descriptor. An OSError inside names the file."""
    with _naming(path):
        file = os.open(path, _READ_FLAGS)
        try:
            yield file
        finally:
            os.close(file)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Add *path* to an OSError that names no file, as the errors of an open file do."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


def _require_unchanged(file: int, identity: FileIdentity, version: str) -> None:
    """Raise `OriginalChanged` unless the open *file* still has its *identity* or its *version*.

    A new change time alone is no change of the bytes: a file that is replaced by a rename loses a link.
    """
    if file_identity(os.fstat(file)) != identity:
        require_version(file, version)


def _read_error(path: str) -> OSError | None:
    """Read the beginning of the file, and return the error if that fails."""
    try:
        with _open(path) as file:
            read_at(file, 0, HEAD_BYTES)
    except OSError as error:
        return error
    return None


def _modified(status: os.stat_result) -> int | None:
    """Return the modification time in Unix seconds, or None when an HTTP-date cannot hold it (RFC 9110 5.6.7)."""
    seconds = int(status.st_mtime)
    return seconds if 0 <= seconds <= LAST_SECOND else None
