"""A folder that every user may read, and a while without the privilege of root to read everything."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NOBODY = 65_534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder whose path every user may follow; pytest's own folders are for one user alone."""
    place = next(filter(_followed_by_all, map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))), None)
    if place is None:
        pytest.skip("no temporary folder has a path that every user may follow")
    with tempfile.TemporaryDirectory(prefix="images-", dir=place) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _followed_by_all(path: Path) -> bool:
    """Whether every user may reach *path*; `mktemp -d`, for one, makes folders for one user alone."""
    try:
        return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))
    except OSError:
        return False


@contextmanager
def unprivileged() -> Iterator[None]:
    """As another user where the tests run as root; all of the process's threads are."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
