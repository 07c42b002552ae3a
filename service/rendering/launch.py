"""The start of a render process: a new interpreter, with few variables and two descriptors of the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from service.rendering.calls import IGNORED
from service.system.child_environment import child_environment


def launch(memory_bytes: int, sandboxed: bool, service: int, data: int) -> subprocess.Popen[bytes]:
    """Start a process with at most *memory_bytes* of address space (0: no limit), which serves its two ends.

    If *sandboxed*, it enters the sandbox first.

    *service* is the descriptor of the socket, and *data* that of the pipe. On Linux, the process ends with the thread
    that calls this function.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)  # the new process inherits the mask
    modules = os.pathsep.join(map(os.path.abspath, sys.path))
    arguments = (str(int(each)) for each in (memory_bytes, sandboxed, service, data))
    return subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("__main__.py")), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(service, data),
        env=child_environment() | {"PYTHONPATH": modules},  # the parent's modules, wherever they come from
    )
