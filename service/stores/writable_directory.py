"""Writes into a folder of originals. A crash at any point leaves the old picture or the new one, whole and durable."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import structlog

from service.errors import PictureError
from service.formats import Format
from service.pictures.ports import Check, Upload
from service.pictures.values import Original, OriginalEmpty
from service.stores.directory import DirectoryStore
from service.stores.folder_in_force import FolderInForce
from service.stores.names import files_of, shard
from service.stores.near import is_near
from service.stores.openat2 import Links
from service.stores.os_errors import as_store_errors
from service.stores.picture_folder import OpenFolder
from service.stores.uploads import UploadFile, UploadFolder, set_mode
from service.system.open_file import OpenFile, file_identity
from service.system.threads import Threads

T = TypeVar("T")
log = structlog.get_logger()

_THREADS, _SPARE = 4, 16
"""Threads for writing, and further ones in place of those that hang. Reads must not wait until a disk has written."""
_MAX_AHEAD = 60
"""Seconds that a picture's date may be ahead, so that each picture of a burst has its own `Last-Modified`."""
_SECOND = 1_000_000_000
"""Nanoseconds of one second."""


class WritableDirectory(DirectoryStore):
    """A `DirectoryStore` that is also a `WritableStore`. It creates nothing in the folder before the first write.

    An upload is written to a file of its own, flushed to the disk, and renamed to its place. The folder is then flushed
    too, before the call returns. It has *file_mode*, or the mode of the picture that it replaces.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int,
        timeout: float,
        in_force: FolderInForce | None = None,
        near: bool | Literal["auto"] = False,
        links: Links = "inside",
        file_mode: int = 0o640,
    ) -> None:
        super().__init__(root, max_bytes=max_bytes, timeout=timeout, in_force=in_force, near=near, links=links)
        self._uploads = UploadFolder(root, timeout, links, file_mode)
        self._writers = Threads(_THREADS, name="store-write", hangs_after=timeout, spare=_SPARE)

    @asynccontextmanager
    async def uploading(self) -> AsyncIterator[Upload]:
        begun = self._writers.submit(self._begin)
        try:
            file = await self._bounded(lambda: asyncio.wrap_future(begun))
        except BaseException:
            begun.add_done_callback(_discard)  # the file may still be created after the time limit
            raise
        try:
            yield _Upload(file, self._write_bounded)
        finally:
            try:
                await self._write_bounded(file.discard)
            except PictureError as error:  # the next start sweeps it
                log.warning("upload.left", cause=repr(error.__cause__))

    async def put(self, contact: int, upload: Upload, check: Check) -> Original:
        assert isinstance(upload, _Upload)
        return await as_store_errors(lambda: self._in_writer(lambda: self._put(contact, upload.file, check)), None)

    async def delete(self, contact: int, check: Check) -> None:
        await as_store_errors(lambda: self._in_writer(lambda: self._delete(contact, check)), None)

    async def sweep(self) -> None:
        await self._write_bounded(self._uploads.sweep)

    async def close(self) -> None:
        await super().close()
        self._writers.shutdown()

    def _begin(self) -> UploadFile:
        self._in_force.require()
        return self._uploads.begin()

    def _put(self, contact: int, upload: UploadFile, check: Check) -> Original:
        upload.make_durable()
        with self._write_lock(), self._at.opened() as folder:
            present = self._present(contact)
            check(present)
            moment = _moment(present)
            os.utime(upload.file.fileno(), ns=(moment, moment))
            original = self._reader.read(contact, upload.file.fileno(), 0)[0].original
            if original.fault is not None:  # without its metadata it may be too large
                raise original.fault.error()
            found = [*files_of(folder, contact)]
            path = next((file.path for file in found if file.size), None)
            if path is not None and (status := folder.status(path)) is not None:
                set_mode(upload.file.fileno(), stat.S_IMODE(status.st_mode) & 0o777)
            path = path or _new_path(folder, contact, original.format)
            for file in found:
                if not file.size:  # before the rename: on some file systems, case does not distinguish names
                    folder.unlink(file.path)
            with folder.place(path) as (parent, name):
                upload.rename(parent, name)
        with self._at.opened() as folder:
            folder.make_names_durable(path)
        self._in_force.present(contact)
        return original

    def _delete(self, contact: int, check: Check) -> None:
        with self._write_lock(), self._at.opened() as folder:
            check(self._present(contact))
            paths = [file.path for file in files_of(folder, contact)]
            for path in reversed(paths[1:]):  # the present picture last, so that no older one is ever visible
                folder.unlink(path)
                folder.make_names_durable(path)
            for path in paths[:1]:
                folder.unlink(path)
        with self._at.opened() as folder:
            for path in paths[:1]:
                folder.make_names_durable(path)
        self._in_force.removed(contact)

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        """Hold the lock of the folder in force. Nothing is created in another folder."""
        self._in_force.require()
        with self._uploads.write_lock():
            yield

    def _present(self, contact: int) -> Original | None:
        """Return the picture of *contact*. A file without bytes is none."""
        try:
            return self._find(contact)
        except OriginalEmpty:
            return None

    async def _write_bounded(self, call: Callable[[], T]) -> T:
        """Return the result of *call* in a writer thread, within the time limit."""
        return await self._bounded(lambda: self._in_writer(call))

    def _in_writer(self, call: Callable[[], T]) -> Awaitable[T]:
        return self._writers.run(call)


class _InThread(Protocol):
    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]: ...


class _Upload:
    """An `Upload` in a file. *in_thread* runs a call in a thread."""

    def __init__(self, file: UploadFile, in_thread: _InThread) -> None:
        self.file, self._in_thread = file, in_thread

    async def write(self, piece: bytes) -> None:
        await self._in_thread(lambda: self.file.file.write(piece))

    async def read(self) -> bytes:
        return await self._in_thread(self.file.read)

    async def open(self) -> bytes | OpenFile:
        opened = await self._in_thread(self._open)
        return await self.read() if opened is None else opened

    async def replace(self, data: bytes) -> None:
        await self._in_thread(lambda: self.file.replace(data))

    def _open(self) -> OpenFile | None:
        """Return the file, opened for reading, or None if it is not local."""
        descriptor = self.file.open()
        if is_near(descriptor):
            identity = file_identity(os.fstat(descriptor))
            return OpenFile(descriptor, identity, identity, self.read)
        os.close(descriptor)
        return None


def _discard(begun: Future[UploadFile]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        begun.result().discard()


def _new_path(folder: OpenFolder, contact: int, kind: Format) -> str:
    """Return the path of a contact's first picture: in its shard, if that folder exists."""
    status = folder.status(shard(contact))
    within = f"{shard(contact)}/" if status is not None and stat.S_ISDIR(status.st_mode) else ""
    return f"{within}{contact}.{kind.suffix}"


def _moment(present: Original | None) -> int:
    """Return the date of a new picture in Unix nanoseconds: the time now, or a later second than that of *present*."""
    now = time.time_ns()
    if present is None or present.modified is None or not 0 <= present.modified - now // _SECOND < _MAX_AHEAD:
        return now
    # The nanoseconds differ too, since a version has a digest of the first bytes only.
    return (present.modified + 1) * _SECOND + now % _SECOND
