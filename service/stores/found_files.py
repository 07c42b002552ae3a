"""Files that a lookup has opened, kept for the render that usually follows. It then needs no thread."""

from __future__ import annotations

import asyncio
import os

from service.pictures.values import Original
from service.system.open_file import OpenFile, file_identity

_MOST = 8
"""Open files at most. A few renders begin at the same time."""
_KEPT = 1.0
"""Seconds for which a file is kept. A file system with an open file cannot be unmounted."""

_Key = tuple[int, str]


class FoundFiles:
    """Open files by contact and version, the latest found."""

    def __init__(self) -> None:
        self._files: dict[_Key, tuple[OpenFile, asyncio.TimerHandle]] = {}

    def keep(self, original: Original, file: OpenFile) -> None:
        """Keep *file*, which was open when *original* was found in it."""
        key = original.contact, original.version
        self._drop(key)
        if len(self._files) >= _MOST:
            self._drop(next(iter(self._files)))
        self._files[key] = file, asyncio.get_running_loop().call_later(_KEPT, self._drop, key)

    def take(self, original: Original) -> OpenFile | None:
        """Return the file of *original*, which the caller closes, or None if it is not kept or has changed."""
        kept = self._files.pop((original.contact, original.version), None)
        if kept is None:
            return None
        file, expiry = kept
        expiry.cancel()
        if file_identity(os.fstat(file.descriptor)) != file.identity:
            file.close()  # written to, replaced, removed or renamed: each changes the change time
            return None
        return file

    def close(self) -> None:
        """Close all files."""
        for key in list(self._files):
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        kept = self._files.pop(key, None)
        if kept is not None:
            file, expiry = kept
            expiry.cancel()
            file.close()
