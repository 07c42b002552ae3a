"""Run a server until standard input closes, then end it and remove its directory.

This module is run as a script, and imports only the standard library: `_watchdog.py DIRECTORY BINARY ARGUMENT…`.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for the server."""


def _die_with_watchdog() -> None:
    """Have Linux end the server if the watchdog is killed. It runs after the fork of a process with one thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def keep(directory: str, command: list[str]) -> int:
    """Run *command* until it ends or standard input closes. Return its exit code, or 0."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pipe decides when the server ends
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_watchdog)
    try:
        while server.poll() is None:
            readable, _, _ = select.select([0], [], [], 0.5)
            if readable and not os.read(0, 1):
                break
        code = server.poll() or 0
        server.terminate()
        try:
            server.wait(_GRACE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        return code
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # what is left in the temporary directory does no harm


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], sys.argv[2:]))
