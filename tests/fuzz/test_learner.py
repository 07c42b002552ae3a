"""Fuzzing finds a bug that needs several steps to be reached. It needs the extra `fuzz`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris")

PROGRAM = """
import atheris
from tools.fuzz.learner import TARGETS, learn
from tools.fuzz.target import Target

@atheris.instrument_func
def run(data):
    TARGETS["record"].run(data)
    if data[:1] == b"b" and data[1:2] == b"u" and data[2:3] == b"g":
        raise RuntimeError("the planted bug")

found = learn(Target({run}, lambda: [b"a", b"null"]), {seconds}, 1, {failing!r})
assert found.inputs and found.learned, found
print(found.failure)
"""


def learned(run: str, seconds: int, folder: Path) -> str:
    """Return what a run prints about a failure."""
    program = PROGRAM.format(run=run, seconds=seconds, failing=f"{folder}/")
    return subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_input_that_fails_is_found_and_kept(tmp_path: Path) -> None:
    assert "the planted bug" in learned("run", 600, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes()[:3] == b"bug"


def test_run_without_a_bug_ends_and_keeps_nothing(tmp_path: Path) -> None:
    assert learned('TARGETS["record"].run', 1, tmp_path) == ""
    assert not list(tmp_path.iterdir())
