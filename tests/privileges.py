"""A folder that every user may read, and a while without the privilege of root to read everything."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65_534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder whose path every user may follow; pytest's own folders are for one user alone."""
    with tempfile.TemporaryDirectory(prefix="images-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


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
