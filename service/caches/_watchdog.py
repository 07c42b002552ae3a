"""Run a server until standard input closes, then kill it and remove its directory. Start it again when it ends.

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
import time

_PR_SET_PDEATHSIG = 1
_POLL = 0.5
"""Seconds between two looks whether the server runs."""
_PERIOD = 1.0
"""Seconds between two starts of the server, at least."""


def _die_with_watchdog() -> None:
    """Have Linux end the server if the watchdog is killed. It runs after the fork of a process with one thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def keep(directory: str, command: list[str]) -> int:
    """Run *command* until standard input closes, then return 0.

    A byte from standard input says that the server listens. Without it, return the server's exit code when it ends.
    With it, write the exit code as a line to standard output, and start the server again.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pipe decides when the server ends
    server, listens = None, False
    try:
        while True:
            begun = time.monotonic()
            null = subprocess.DEVNULL
            server = subprocess.Popen(command, stdin=null, stdout=null, preexec_fn=_die_with_watchdog)
            while server.poll() is None or (listens and time.monotonic() < begun + _PERIOD):
                readable, _, _ = select.select([0], [], [], _POLL)
                if readable and not os.read(0, 1):
                    return 0
                listens = listens or bool(readable)
            if not listens:
                return server.returncode
            os.write(1, b"%d\n" % server.returncode)
    finally:
        if server is not None:
            server.kill()  # its data has no use without the service
            server.wait()
        shutil.rmtree(directory, ignore_errors=True)  # what is left in the temporary directory does no harm


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], sys.argv[2:]))
