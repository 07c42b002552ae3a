"""Reading and replacing the users' file on the disk. All functions block."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from service.access.identity import Role
from service.access.verifiers.users_text import BadUsers, User, line, parse, put
from service.system.locks import try_lock
from service.system.regular_file import open_regular

_MAX_BYTES = 4_194_304
"""Bytes of the file. Tens of thousands of users fit."""
_LOCK_TIMEOUT = 5.0
"""Seconds to wait for the lock of the file. Other processes hold it for milliseconds."""
_LOCK_INTERVAL = 0.01
"""Seconds between two attempts to lock the file: no event tells that another process releases it."""


def read(path: Path) -> dict[str, User]:
    """Return the users in the file at *path* by their names. Raise `BadUsers`."""
    try:
        with open_regular(path) as file:
            return parse(_text(file))
    except OSError as error:
        raise BadUsers(f"{path}: cannot be read: {error.strerror}") from None
    except BadUsers as fault:
        raise BadUsers(f"{path}: {fault}") from None


def add_user(path: Path, user: str, password: str, roles: Collection[Role] = ()) -> bool:
    """Add *user* to the file at *path*, or replace the user's line there. Return whether there was one.

    A missing file is created. A concurrent reader finds the old file or the new one, never a part. Raises ValueError
    for a name or a password that cannot be used, `BadUsers` for a file with a fault, OSError.
    """
    added = line(user, password, roles)
    path = path.resolve()  # so that a symbolic link stays one
    with _exclusive(path) as file:
        try:
            text = _text(file)
            known = parse(text)
        except BadUsers as fault:
            raise BadUsers(f"{path}: {fault}") from None
        _replace(path, put(text, user, added).encode(), os.fstat(file.fileno()))
    return user in known


def _text(file: BinaryIO) -> str:
    data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise BadUsers(f"has more than {_MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadUsers("is not in UTF-8") from None


@contextmanager
def _exclusive(path: Path) -> Iterator[BinaryIO]:
    """Yield the file at *path* for reading, locked against other changes. Raises TimeoutError."""
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        with open_regular(path, os.O_RDWR | os.O_CREAT) as file:
            if try_lock(file) and _still_at(path, file):
                yield file
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path}: another process is changing it")
        time.sleep(_LOCK_INTERVAL)


def _still_at(path: Path, file: BinaryIO) -> bool:
    """Return whether *file* is still the file at *path*: it may have been replaced before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _replace(path: Path, data: bytes, old: os.stat_result) -> None:
    """Replace the file at *path* by one of *data*, with the owner and the mode of the *old* one."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            new = os.fstat(descriptor)
            if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
