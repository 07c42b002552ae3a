"""Originals in a folder: `{id}.{suffix}`, or `{id modulo 1000}/{id}.{suffix}` for large sets.

A lookup takes a fixed number of calls of the system, whatever the number of contacts: there is no index. Files are read
in threads, but for those on a local file system that the kernel holds in memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from service.imaging.containers.window import HEAD_BYTES
from service.pictures.ports import Loaded
from service.pictures.values import Original, OriginalChanged, OriginalEmpty, Pieces
from service.stores import cached_files
from service.stores.folder_in_force import FolderInForce
from service.stores.found_files import FoundFiles
from service.stores.layout import Layout
from service.stores.names import files_of, is_shard, links_in, paths_of, pictures_in, shard
from service.stores.near import Nearness, is_near
from service.stores.openat2 import Links
from service.stores.os_errors import as_store_errors
from service.stores.picture_folder import PictureFolder
from service.stores.picture_reader import PictureReader
from service.stores.streams import Streams
from service.stores.versions import picture_of, read_unchanged, require_version, version_of
from service.system.open_file import FileIdentity, OpenFile, read_at
from service.system.threads import Threads

T = TypeVar("T")

_THREADS, _SPARE = 8, 32
"""Threads for reading, and further ones in place of those that hang."""
_HANGS_AFTER = 0.25
"""Share of the time limit after which a call hangs."""
_FOLDER = "folder"
"""The place of calls that read no contact's file. The other places are the names of shards."""


class DirectoryStore:
    """An `OriginalStore` in the folder *root*.

    *max_bytes* is the largest size of an original. *timeout* is the number of seconds that one operation may take.
    The processes of a service share *in_force*. *near* says whether the folder is near; "auto": as its files show.
    *links* are followed.
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
    ) -> None:
        self._at, self._timeout = PictureFolder(root, links), timeout
        self._nearness = Nearness(near)
        self._reader = PictureReader(max_bytes, self._nearness)
        self._layout = Layout(self._at.path)
        self._in_force = in_force or FolderInForce(root, links=links)
        self._threads = Threads(_THREADS, name="store", hangs_after=_HANGS_AFTER * timeout, spare=_SPARE)
        self._streams = Streams(self._threads, self._nearness, timeout)
        self._found = FoundFiles()

    @property
    def near(self) -> bool:
        return self._nearness.near

    def load_at_once(self, contact: int, most: int) -> Loaded | None:
        try:
            return self._in_cached(contact, lambda file, status: self._load_cached(contact, file, status, most))
        except OSError:
            return None  # not all of it is in the kernel's memory, or the file is unusual: a thread finds out

    async def load(self, contact: int, most: int) -> Loaded | None:
        return await self._in_thread(contact, self._load, contact, most)

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        files: list[OpenFile] = []
        to_open = None if known else files
        original: Original | None
        try:
            original = self._in_cached(
                contact, lambda file, status: self._load_cached(contact, file, status, 0, to_open)
            ).original
        except OSError:
            files.clear()
            original = await self._in_thread(contact, self._find, contact, known, to_open)
        if original is not None and files:
            self._found.keep(original, files[0])
        return original

    async def read(self, original: Original) -> bytes:
        return await self._in_thread(original.contact, self._read, original)

    async def open(self, original: Original) -> bytes | OpenFile:
        if (file := self._found.take(original)) is not None:
            return file
        return await self._in_thread(original.contact, self._open, original)

    async def stream(self, original: Original, piece: int, span: range | None = None) -> Pieces:
        file, identity = await self._in_thread(original.contact, self._open_version, original)
        return await self._streams.start(
            file, identity, original, range(original.size) if span is None else span, piece
        )

    async def check(self) -> str:
        def describe_folder() -> str:
            self._in_force.look()
            with self._at.opened() as folder, folder.entries() as entries:
                return "has files" if next(entries, None) else "is empty"

        return f"{self._at.path} {await self._in_thread(None, describe_folder)}"

    async def is_in_force(self) -> bool:
        """Return whether the folder at the path may be used. A failure is not logged: this is asked in a loop."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._threads.run(self._in_force.require, _FOLDER)
        except OSError:
            return False
        return True

    async def identity(self) -> str | None:
        return await self._in_thread(None, self._in_force.identity)

    async def sample(self, limit: int) -> tuple[int, list[OSError]]:
        """Read the beginning of the first *limit* pictures in the folder, in the order in which the system lists them.

        Return the number of pictures, and the errors of those that cannot be read.
        """
        found = await self._in_thread(None, self._first_pictures, limit)
        errors = [await self._in_thread(contact, self._read_error, path) for contact, path in found]
        return len(found), [error for error in errors if error is not None]

    async def refused_links(self) -> int:
        """Return the number of pictures and shards that are links which are not followed."""
        refused, shards = await self._in_thread(None, self._refused_in, "")
        return refused + sum([(await self._in_thread(None, self._refused_in, each))[0] for each in shards])

    async def close(self) -> None:
        self._found.close()
        await self._streams.close()
        self._threads.shutdown()

    def _first_pictures(self, limit: int) -> list[tuple[int, str]]:
        with self._at.opened() as folder:
            return [*islice(pictures_in(folder), limit)]

    def _read_error(self, path: str) -> OSError | None:
        """Read the beginning of the file, and return the error if that fails."""
        try:
            with self._at.opened() as folder, folder.opened(path) as file:
                if file is not None:
                    read_at(file, 0, HEAD_BYTES)
        except OSError as error:
            return error
        return None

    def _refused_in(self, within: str) -> tuple[int, list[str]]:
        """Return the number of refused links in the folder itself or its shard *within*, and the other shards."""
        with self._at.opened() as folder:
            links = links_in(folder, within)
            followed = [path for path in links if not folder.refuses(path)]
        return len(links) - len(followed), [path for path in followed if is_shard(path)]

    def _open_version(self, original: Original) -> tuple[BufferedReader, FileIdentity]:
        with self._opened(original.contact) as file:
            identity = require_version(file, original.version)
            return os.fdopen(os.dup(file), "rb"), identity

    def _find(self, contact: int, known: bool = False, files: list[OpenFile] | None = None) -> Original | None:
        loaded = self._load(contact, 0, known, files)
        return None if loaded is None else loaded.original

    def _load(self, contact: int, most: int, known: bool = False, files: list[OpenFile] | None = None) -> Loaded | None:
        """Return the picture of *contact*, with its bytes if there are *most* at most.

        A copy of its open file is added to *files* if a render process can read it. *known* is as in `find`.
        """
        empty = False
        with self._at.opened() as folder:
            status = os.fstat(folder.descriptor)
            local = self._nearness.devices.get(status.st_dev, False)  # elsewhere, the times may be those of a while ago
            sharded = local and self._layout.is_sharded(status, contact)
            for path, size in files_of(folder, contact, sharded=sharded):
                if size == 0:
                    empty = True
                    continue
                with folder.opened(path) as file:
                    if file is None:
                        continue  # removed since it was listed
                    loaded, identity = self._reader.read(contact, file, most)
                    if not loaded.original.size:
                        empty = True
                        continue
                    if files is not None and identity is not None and not loaded.original.fault and is_near(file):
                        files.append(self._for_render(loaded.original, file, identity))
                self._in_force.present(contact)
                if self._nearness.devices.get(status.st_dev):
                    self._layout.learn(status)
                return loaded
        if empty:
            self._in_force.require()
            raise OriginalEmpty
        self._in_force.absent(contact, known=known)
        return None

    def _in_cached(self, contact: int, read: Callable[[int, os.stat_result], T]) -> T:
        """Return the result of *read* for the open file of the picture and its status, without waiting for the disk.

        Raise OSError if that cannot be done, if there is no picture, and if *read* does.
        """
        if not self._nearness.local:  # a mount point of a network file system may wait for the network
            raise BlockingIOError
        links, folder = self._at.links, cached_files.open_folder(self._at.path)
        try:
            status = os.fstat(folder)
            if not self._nearness.devices.get(status.st_dev) or self._layout.is_unknown(status):
                raise BlockingIOError
            if (marker := self._in_force.marker) and not cached_files.exists(folder, marker, links):
                raise BlockingIOError
            paths = paths_of(contact, sharded=self._layout.is_sharded(status, contact))
            found = cached_files.open_first(folder, paths, links)
            if found is None:
                raise BlockingIOError
            file, seen = found
            try:
                result = read(file, seen)
            finally:
                os.close(file)
            if not self._in_force.present_in(status, contact):
                raise BlockingIOError
            return result
        finally:
            os.close(folder)

    def _load_cached(
        self, contact: int, file: int, status: os.stat_result, most: int, files: list[OpenFile] | None = None
    ) -> Loaded:
        """Return the same as `_load` for the open *file*. Raise as `PictureReader.read_cached`."""
        loaded, identity = self._reader.read_cached(contact, file, status, most)
        if files is not None:
            files.append(self._for_render(loaded.original, file, identity))
        return loaded

    def _read(self, original: Original) -> bytes:
        """Read all of it in one call: a change of threads takes longer than reading a usual picture."""
        with self._opened(original.contact) as file:
            if os.fstat(file).st_size != original.size:
                raise OriginalChanged
            status, data, identity = read_unchanged(file, lambda _: read_at(file, 0, original.size))
        if identity is None or len(data) != status.st_size or version_of(status, data) != original.version:
            raise OriginalChanged
        return data

    def _open(self, original: Original) -> bytes | OpenFile:
        """Open the file and verify its version. Read it if it is not local, as another process might wait for it."""
        with self._opened(original.contact) as file:
            if is_near(file):
                return self._for_render(original, file, require_version(file, original.version))
        return self._read(original)

    def _for_render(self, original: Original, file: int, identity: FileIdentity) -> OpenFile:
        """Return a copy of the open *file*, which a render process can read."""
        return OpenFile(os.dup(file), identity, picture_of(original.version), lambda: self.read(original))

    @contextmanager
    def _opened(self, contact: int) -> Iterator[int]:
        """Open the picture of *contact*, and yield its descriptor. Raise `OriginalChanged` if there is none."""
        with self._at.opened() as folder:
            path = next((path for path, size in files_of(folder, contact) if size), None)
            if path is not None:
                with folder.opened(path) as file:
                    if file is not None:
                        yield file
                        return
        self._in_force.require()
        raise OriginalChanged

    async def _in_thread(self, contact: int | None, call: Callable[..., T], *args: object) -> T:
        """Return the result of *call*, which reads the file of *contact*, or the folder itself if that is None."""
        place = _FOLDER if contact is None else shard(contact)  # a shard may be on a disk of its own
        return await self._bounded(lambda: self._threads.run(partial(call, *args), place))

    async def _bounded(self, call: Callable[[], Awaitable[T]]) -> T:
        return await as_store_errors(call, self._timeout)
