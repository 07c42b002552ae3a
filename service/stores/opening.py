"""Files that are opened for reading by their path. Their errors name the path, as those of an open file do not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from service.imaging.containers.window import HEAD_BYTES
from service.open_file import FileIdentity, read_at
from service.pictures.values import OriginalChanged
from service.stores.versions import require_version

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a named pipe must not block


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open the file at *path*, and yield its descriptor. An OSError inside names the file."""
    with _naming(path):
        file = os.open(path, _FLAGS)
        try:
            yield file
        finally:
            os.close(file)


def open_version(path: str, version: str) -> tuple[BufferedReader, FileIdentity]:
    """Return the file at *path*, open, and its identity. Raise `OriginalChanged` unless it has that *version*."""
    try:
        file = os.fdopen(os.open(path, _FLAGS), "rb")
    except FileNotFoundError as error:
        raise OriginalChanged from error
    try:
        with _naming(path):
            return file, require_version(file.fileno(), version)
    except BaseException:
        file.close()
        raise


def read_error(path: str) -> OSError | None:
    """Read the beginning of the file, and return the error if that fails."""
    try:
        with opened(path) as file:
            read_at(file, 0, HEAD_BYTES)
    except OSError as error:
        return error
    return None


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Add *path* to an OSError that names no file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise
