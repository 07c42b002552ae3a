"""The service as a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import http.client
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

COMMAND = (str(Path(sys.executable).with_name("contact-image")),)
"""The installed command, beside the interpreter that runs the tests."""

STARTED_WITHIN = 60.0
"""Seconds in which a service must answer; the machine may be busy."""
PATIENCE = 60.0
"""Seconds for one answer."""


def until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Return when *true* is. Another process decides when, so there is nothing to await."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on just now, and that no other worker of pytest-xdist is given.

    It lies below the ports that the kernel hands out by itself, so that no other socket takes it before the service.
    """
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("the ports never end")


def _own_ports(first: int = 10_000, last: int = 32_000, workers: int = 16) -> Iterator[int]:
    """The ports of this worker of pytest-xdist, again and again, from one of them at random.

    At random, because another run of the tests may be under way on this machine.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = range(first + worker % workers, last, workers)
    return itertools.islice(itertools.cycle(own), random.randrange(len(own)), None)


_ports = _own_ports()


@dataclass(frozen=True)
class Answer:
    """An HTTP response, its body read to the length it promised. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Process:
    """A process, told from a later one of the same id by when it started."""

    pid: int
    started: str
    command: str

    @property
    def alive(self) -> bool:
        """Whether it still runs; one that merely waits to be reaped does not."""
        seen = _stat(self.pid)
        return seen is not None and seen[19] == self.started and seen[0] not in "ZX"


def family(pid: int) -> set[Process]:
    """All that *pid* started, and what those started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if (seen := _stat(int(entry.name))) is not None:
            children.setdefault(int(seen[1]), []).append(int(entry.name))
    found, ahead = set(), [pid]
    while ahead:
        for child in children.get(ahead.pop(), []):
            ahead.append(child)
            if (seen := _stat(child)) is not None:
                found.add(Process(child, seen[19], _command(child)))
    return found


def everyone() -> set[Process]:
    """All processes that run."""
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    found = (Process(pid, seen[19], _command(pid)) for pid in pids if (seen := _stat(pid)) is not None)
    return {each for each in found if each.alive}


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or another user's
        return b""


class Service:
    """A service that was started. *temporary* is where it, and nobody else, makes its temporary folders."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process, self.port = process, port
        self.temporary = folder / "tmp"
        self._out, self._err = folder / "out", folder / "err"

    @property
    def printed(self) -> str:
        return self._out.read_text("utf-8")

    @property
    def logged(self) -> str:
        return self._err.read_text("utf-8")

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        """Ask, and read the whole answer; a body cut short raises."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
        finally:
            connection.close()

    @property
    def answers(self) -> bool:
        try:
            return self.get("/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    @property
    def renders_begun(self) -> int:
        lines = self.get("/metrics").body.decode().splitlines()
        (line,) = (line for line in lines if line.startswith("contact_image_renders_started_total "))
        return int(float(line.split()[1]))

    def started(self) -> None:
        """Return when it answers."""
        until(lambda: self.answers or self.process.poll() is not None, STARTED_WITHIN, "the service answers")
        assert self.process.poll() is None, f"the service ended with {self.process.returncode}: {self.logged}"

    def with_workers(self, count: int) -> set[Process]:
        """All its processes, once *count* render workers are among them and a render succeeds."""
        until(lambda: self.get("/readyz").status == 200, STARTED_WITHIN, "it renders")

        until(lambda: len(self.renderers) == count, STARTED_WITHIN, f"{count} workers run")
        return family(self.process.pid)

    @property
    def servers(self) -> set[Process]:
        """Of several, the processes that take requests: its children with its own command.

        The watchdog of the private cache server is a child too, and "valkey-server" is in its command.
        """
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {each for each in family(self.process.pid) if str(each.pid) in children and " serve " in each.command}

    @property
    def renderers(self) -> set[Process]:
        """Its render processes."""
        return {each for each in family(self.process.pid) if "spawn_main" in each.command}

    @contextmanager
    def frozen_renderers(self) -> Iterator[None]:
        """They stand still until the block ends, so that what is asked of them stays under way."""
        frozen = self.renderers
        for each in frozen:
            os.kill(each.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in frozen:
                with suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGCONT)

    @property
    def relatives(self) -> set[Process]:
        """All processes but the first that have its own temporary folder in their environment, orphans too."""
        mine = f"TMPDIR={self.temporary}\0".encode()
        return {each for each in everyone() if each.pid != self.process.pid and mine in _environment(each.pid)}

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def send_group(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def end(self, seconds: float = 15.0) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(seconds)


@contextmanager
def running(
    *arguments: str | Path,
    command: tuple[str, ...] = COMMAND,
    wait: bool = True,
    port: int | None = None,
    **variables: str,
) -> Iterator[Service]:
    """`contact-image serve` with *arguments* in an empty directory, killed at the end if it still runs.

    It sees no variables of ours but *variables*.
    """
    port = port or free_port()
    # Not pytest's folder: the path of a unix socket has 108 bytes at most.
    with tempfile.TemporaryDirectory(prefix="service-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "empty").mkdir()
        (folder / "tmp").mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONTACT_IMAGE_")}
        environment |= {"TMPDIR": str(folder / "tmp"), **variables}
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [*command, "serve", "--port", str(port), *map(str, arguments)],
                cwd=folder / "empty",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        service = Service(process, port, folder)
        try:
            if wait:
                service.started()
            yield service
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            until(lambda: not service.relatives, 60, "all of it ends")


def run(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONTACT_IMAGE_")}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment | {"TMPDIR": str(cwd)} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def nothing_left(service: Service, before: set[Process], seconds: float = 5.0) -> None:
    """Neither a process nor a folder of *service* is left within *seconds*."""
    until(lambda: not [each for each in before if each.alive], seconds, f"none is left of {before}")
    until(lambda: not service.relatives, seconds, "none is left that it started")
    until(lambda: not list(service.temporary.iterdir()), seconds, f"{service.temporary} is empty")
