"""The users' file on the disk. All of it blocks."""

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
from service.access.verifiers.user_lines import BadUsers, User, line, parse, put
from service.locks import try_lock

_MOST = 4_194_304
"""Bytes of the file: tens of thousands of users."""
_PATIENCE = 5.0
"""Seconds that others may hold the file; they take milliseconds."""
_AGAIN = 0.01
"""Seconds between two tries: another process has it, so there is nothing to wait on."""

State = tuple[int, int, int]
"""When a file was written, its size, and which file it is."""


def state(path: Path) -> State:
    """What differs once the file at *path* has changed. Raises `BadUsers`."""
    try:
        seen = path.stat()
    except OSError as error:
        raise BadUsers(f"{path}: cannot be read: {error.strerror}") from None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def read(path: Path) -> dict[str, User]:
    """The users in the file at *path*, by their names. Raises `BadUsers`, which says where the fault is."""
    try:
        with path.open("rb") as file:
            return parse(_text(file))
    except OSError as error:
        raise BadUsers(f"{path}: cannot be read: {error.strerror}") from None
    except BadUsers as fault:
        raise BadUsers(f"{path}: {fault}") from None


def add_user(path: Path, user: str, password: str, roles: Collection[Role] = ()) -> bool:
    """Put *user* into the file at *path*, which is made if there is none; whether it was there and has been replaced.

    Whoever reads meanwhile finds the old file or the new one, whole. Raises ValueError for a name or a password that
    cannot be used, `BadUsers` for a file with a fault, OSError.
    """
    added = line(user, password, roles)
    path = path.resolve()  # a link goes on being one
    with _alone(path) as file:
        try:
            text = _text(file)
            known = parse(text)
        except BadUsers as fault:
            raise BadUsers(f"{path}: {fault}") from None
        _replace(path, put(text, user, added).encode(), os.fstat(file.fileno()))
    return user in known


def _text(file: BinaryIO) -> str:
    data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise BadUsers(f"has more than {_MOST} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadUsers("is not in UTF-8") from None


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """The file at *path*, for reading, while nobody else replaces it. Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb") as file:
            if try_lock(file) and _still_at(path, file):
                yield file
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path}: somebody else is changing it")
        time.sleep(_AGAIN)


def _still_at(path: Path, file: BinaryIO) -> bool:
    """Whether *file* is what *path* leads to, and was not replaced before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _replace(path: Path, data: bytes, old: os.stat_result) -> None:
    """Put a file of *data* at *path*, with the owner and the mode of the *old* one."""
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
