"""The operator's placeholders are read without waiting for a file that is none."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from service.stores.placeholder_files import BadPlaceholders, read_placeholders


def test_file_that_becomes_a_pipe_is_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it is replaced between a look and its opening: the look shows a file."""
    os.mkfifo(tmp_path / "Default.png")
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    faults: list[str] = []

    def read() -> None:
        try:
            read_placeholders(tmp_path, 1_000)
        except BadPlaceholders as error:
            faults.extend(error.faults)

    reading = Thread(target=read, daemon=True)
    reading.start()
    reading.join(10)
    assert not reading.is_alive()
    assert faults == [f"{tmp_path}/Default.png: cannot be read: Is not a regular file"]
