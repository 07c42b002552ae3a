"""Fixtures for the tests of stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import privileges


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with privileges.open_folder() as folder:
        yield folder
