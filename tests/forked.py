"""Render processes that are forks of a process that has imported Pillow."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
from multiprocessing.connection import Connection

from service.rendering.calls import serve

_FORKSERVER = multiprocessing.get_context("forkserver")
"""The process that forks. Importing Pillow for every test, as `launch` does, would add half to the processor time of
the tests over HTTP."""
_FORKSERVER.set_forkserver_preload(["__main__", "service.rendering.worker", "tests.rendering.forging"])


class Forked:
    """A process in place of the one that `service.rendering.launch.launch` starts, with the same arguments."""

    def __init__(self, memory_bytes: int, sandboxed: bool, service: int, data: int) -> None:
        ends = socket.socket(fileno=os.dup(service)), Connection(os.dup(data), writable=False)
        self._process = _FORKSERVER.Process(target=_serve, args=(memory_bytes, sandboxed, *ends), daemon=True)
        self._process.start()
        for end in ends:
            end.close()
        self.kill = self._process.kill

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0)
        return self.returncode


def _serve(memory_bytes: int, sandboxed: bool, service: socket.socket, data: Connection) -> None:
    serve(memory_bytes, sandboxed, service, data.fileno())
