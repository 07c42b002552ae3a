"""What the processes get that the service starts, and how those are found that are left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.system.child_environment import child_environment
from tests.operations.running import NEEDS_PROC, RENDERER, Process, all_processes, block_until, running

ROOT = Path(__file__).parents[2]
ALLOWED = re.compile(r"PATH|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|MALLOC_\w+|PYTHON\w*")
SECRET = {"CONTACT_IMAGE_AUTH__SIGNING_KEYS": f"k1:{'s' * 32}", "SECRET_OF_OTHERS": "s" * 32, "MALLOC_ARENA_MAX": "2"}

HIDDEN = """
import os, sys
if not os.fork():
    os.setsid()
    os.execve(sys.executable, [sys.executable, "-c", sys.argv[1]], {})
"""
"""Starts a process that leaves its parent, its session and its environment."""
WAITING = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); input()"
"""Hides what is left of its environment (PR_SET_DUMPABLE), and waits."""


def environment(process: Process) -> set[str]:
    """Return the names of the variables of *process*. A process that hides them has none."""
    try:
        data = Path(f"/proc/{process.pid}/environ").read_bytes()
    except PermissionError:
        return set()
    return {each.partition(b"=")[0].decode() for each in data.split(b"\0") if each}


def test_child_environment_has_no_other_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRET, "LC_ALL", "TZ", "HOME", "LD_PRELOAD", "XPATH"):
        monkeypatch.setenv(name, "value")
    assert child_environment().keys() >= {"PATH", "LC_ALL", "TZ", "MALLOC_ARENA_MAX"}
    assert [name for name in child_environment() if not ALLOWED.fullmatch(name)] == []


@NEEDS_PROC
def test_processes_of_the_service_get_no_secret_from_its_environment(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with running("--images", tmp_path / "images", "--workers", "2", **SECRET) as service:
        children = service.with_renderers(2) - service.servers
        assert len([each for each in children if RENDERER in each.command]) == 2
        assert any("valkey-server" in each.command for each in children)
        for each in children:
            assert [name for name in environment(each) if not ALLOWED.fullmatch(name)] == [], each.command
        assert b'contact_image_render_sandbox{layer="limits"} 1.0' in service.get("/metrics").body


@NEEDS_PROC
@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_CHILD_SUBREAPER")
def test_ci_finds_a_process_that_has_left_its_parent_its_session_and_its_environment() -> None:
    """As `.ci/run` finds what a command has left."""
    script = f"'{sys.executable}' -c '{HIDDEN}' '{WAITING}' <&0 >/dev/null; '{sys.executable}' .ci/descendants.py $$"
    command = [sys.executable, ".ci/adopt.py", "bash", "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        (left,) = (int(line) for line in run.stdout)
        (process,) = (each for each in all_processes() if each.pid == left)
        assert environment(process) == set()
        os.kill(left, signal.SIGKILL)
    block_until(lambda: not process.alive, 60, "the process ends")
