"""Writing into a folder of originals: a crash at any point leaves the old picture or the new one, whole and durable."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from service.errors import PictureError
from service.formats import Format
from service.pictures.ports import Check, Upload
from service.pictures.values import Original, OriginalEmpty
from service.stores.directory import DirectoryStore, as_store_errors
from service.stores.names import files, shard
from service.stores.uploads import UploadFile, UploadFolder, make_durable

T = TypeVar("T")
log = structlog.get_logger()

_THREADS = 4
"""Writings at once: a disk takes its time to make them durable, and readings must not wait for it."""
_AHEAD = 60
"""Seconds by which a picture may be dated ahead, so that each of a burst has a `Last-Modified` of its own."""
_SECOND = 1_000_000_000


class WritableDirectory(DirectoryStore):
    """A `DirectoryStore` that is also a `WritableStore`. Nothing is made in the folder before the first write.

    What is written grows in a file of its own and takes its place by a rename, after its bytes and before its name are
    known to be on the disk; the answer comes after both.
    """

    def __init__(self, root: Path, *, max_bytes: int, timeout: float) -> None:
        super().__init__(root, max_bytes=max_bytes, timeout=timeout)
        self._uploads = UploadFolder(root, timeout)
        self._writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-write")

    @asynccontextmanager
    async def uploading(self) -> AsyncIterator[Upload]:
        begun = self._writers.submit(self._uploads.begin)
        try:
            file = await self._bounded(lambda: asyncio.wrap_future(begun))
        except BaseException:
            begun.add_done_callback(_discard)  # it may come yet, and nobody waits for it any more
            raise
        try:
            yield _Upload(file, self._soon)
        finally:
            try:
                await self._soon(file.discard)
            except PictureError as error:  # it is in nobody's way, and is swept at the next start
                log.warning("upload.left", cause=repr(error.__cause__))

    async def put(self, contact: int, upload: Upload, check: Check) -> Original:
        assert isinstance(upload, _Upload)
        return await as_store_errors(lambda: self._in_writer(lambda: self._put(contact, upload.file, check)), None)

    async def delete(self, contact: int, check: Check) -> None:
        await as_store_errors(lambda: self._in_writer(lambda: self._delete(contact, check)), None)

    async def sweep(self) -> None:
        await self._soon(self._uploads.sweep)

    async def close(self) -> None:
        await super().close()
        self._writers.shutdown(wait=False, cancel_futures=True)

    def _put(self, contact: int, upload: UploadFile, check: Check) -> Original:
        upload.make_durable()
        with self._uploads.alone():
            present = self._present(contact)
            check(present)
            moment = _moment(present)
            os.utime(upload.file.fileno(), ns=(moment, moment))
            original = self._judged(contact, upload.file.fileno())
            if original.fault is not None:  # encoded anew it may have become too large
                raise original.fault.error()
            found = [*files(self._root, contact)]
            path = next((Path(each.path) for each in found if each.size), None) or self._new(contact, original.format)
            for each in found:
                if not each.size:  # before the rename: where case does not matter, it may be the same name
                    Path(each.path).unlink(missing_ok=True)
            upload.path.rename(path)
        make_durable(path.parent)
        return original

    def _present(self, contact: int) -> Original | None:
        """The picture of *contact*; a file without bytes is none."""
        try:
            return self._look(contact)
        except OriginalEmpty:
            return None

    def _new(self, contact: int, kind: Format) -> Path:
        """Where a contact's first picture comes to lie: in its shard, if there is one."""
        sharded = self._root / shard(contact)
        return (sharded if sharded.is_dir() else self._root) / f"{contact}.{kind.suffix}"

    def _delete(self, contact: int, check: Check) -> None:
        with self._uploads.alone():
            check(self._present(contact))
            paths = [Path(each.path) for each in files(self._root, contact)]
            for path in reversed(paths[1:]):  # the present one last: at no point does an older picture come to light
                path.unlink(missing_ok=True)
                make_durable(path.parent)
            for path in paths[:1]:
                path.unlink(missing_ok=True)
        for path in paths[:1]:
            make_durable(path.parent)

    async def _soon(self, call: Callable[[], T]) -> T:
        """What *call* gives in a writer's thread, within the time limit."""
        return await self._bounded(lambda: self._in_writer(call))

    def _in_writer(self, call: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._writers, call)


class _Upload:
    """An `Upload` in a file. *soon* calls in a thread."""

    def __init__(self, file: UploadFile, soon: Callable[[Callable[[], object]], Awaitable[object]]) -> None:
        self.file, self._soon = file, soon

    async def write(self, piece: bytes) -> None:
        await self._soon(lambda: self.file.file.write(piece))

    async def read(self) -> bytes:
        data = await self._soon(self.file.read)
        assert isinstance(data, bytes)
        return data

    async def replace(self, data: bytes) -> None:
        await self._soon(lambda: self.file.replace(data))


def _discard(begun: Future[UploadFile]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        begun.result().discard()


def _moment(present: Original | None) -> int:
    """When the picture that takes the place of *present* was made, in Unix nanoseconds: in a later second."""
    now = time.time_ns()
    if present is None or present.modified is None or not 0 <= present.modified - now // _SECOND < _AHEAD:
        return now
    return (present.modified + 1) * _SECOND + now % _SECOND  # no moment twice: a version hashes the first bytes alone
