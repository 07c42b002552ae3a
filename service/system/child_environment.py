"""The environment of the processes that the service starts. Secrets may be in its own."""

from __future__ import annotations

import os

_NAMES = frozenset({"PATH", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"})
_BEGINNINGS = "LC_", "MALLOC_", "PYTHON"
"""The beginnings of the names of further variables."""


def child_environment() -> dict[str, str]:
    """Return the variables that another process needs to be found, to load its libraries and to write its files."""
    return {name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(_BEGINNINGS)}
