"""A folder that every user can reach, code without the privileges of root, and processes with mounts of their own."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_UNPRIVILEGED = 65_534
"""The id of a user without privileges."""


@contextmanager
def open_folder() -> Iterator[Path]:
    """Create a folder that every user can reach. The folders of pytest are private to one user."""
    parent = next(filter(_reachable, map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))), None)
    if parent is None:
        pytest.skip("no temporary folder can be reached by every user")
    with tempfile.TemporaryDirectory(prefix="images-", dir=parent) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _reachable(path: Path) -> bool:
    """Return whether every user can reach *path*. `mktemp -d`, for example, makes private folders."""
    try:
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))
    except OSError:
        return False


@contextmanager
def unprivileged() -> Iterator[None]:
    """Become another user if the tests run as root. This holds for all threads of the process."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(_UNPRIVILEGED)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def mount_namespace() -> tuple[str, ...]:
    """Return the beginning of a command that may mount file systems, which only it sees. Skip the test if none may."""
    command = ("unshare", "--mount", *(("--user", "--map-root-user") if os.geteuid() else ()))
    try:
        subprocess.run(
            [*command, "mount", "-t", "tmpfs", "none", tempfile.gettempdir()], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems cannot be mounted here")
    return command
