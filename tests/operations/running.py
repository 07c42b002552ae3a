"""Helpers: the command as a process or in this process, and the state of a running service from outside."""

from __future__ import annotations

import fcntl
import http.client
import itertools
import json
import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from service.cli import main

COMMAND = (str(Path(sys.executable).with_name("contact-image")),)
"""The installed command, from the folder of the interpreter that runs the tests."""

SAMPLE_CREDENTIAL = {"Authorization": "Basic dGplMDpUamUw"}
"""The header field with the demo's user and password."""

RENDERER = "/service/rendering/__main__.py "
"""What the command of a render process has, and no other command."""

NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
"""The mark of tests that look at processes."""
STARTED_WITHIN = 60.0
"""Seconds to wait until a started service answers; the machine may be busy."""
TIMEOUT = 60.0
"""Seconds to wait for one answer."""


def block_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll *condition* until it returns a true value. Fail after *seconds* with *what*, the awaited condition.

    The condition depends on another process, so there is nothing to await.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def free_port() -> int:
    """Return a TCP port that is free now, and that no other worker of pytest-xdist gets.

    The port is below the kernel's ephemeral ports, so that no other socket takes it before the service does.
    """
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("the ports never end")


def _own_ports(first: int = 10_000, last: int = 32_000, workers: int = 16) -> Iterator[int]:
    """Yield the ports of this worker of pytest-xdist in an endless cycle.

    The cycle begins at a random port, because another run of the tests may use the same machine.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = range(first + worker % workers, last, workers)
    return itertools.islice(itertools.cycle(own), random.randrange(len(own)), None)


_ports = _own_ports()


@dataclass(frozen=True)
class Answer:
    """An HTTP response with its whole body. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Process:
    """A process. The start time distinguishes it from a later process with the same id."""

    pid: int
    started: str
    command: str

    @property
    def alive(self) -> bool:
        """Whether the process still runs. A zombie does not."""
        seen = _stat(self.pid)
        return seen is not None and seen[19] == self.started and seen[0] not in "ZX"

    @property
    def session(self) -> int | None:
        """The process that leads the session of the process."""
        seen = _stat(self.pid)
        return int(seen[3]) if seen is not None else None

    @property
    def waits_for_jobs(self) -> bool:
        """Whether the process, which renders, is idle: it sleeps, and has sent its standard error to /dev/null."""
        seen = _stat(self.pid)
        try:
            return seen is not None and seen[0] == "S" and os.readlink(f"/proc/{self.pid}/fd/2") == os.devnull
        except PermissionError:
            return True  # it is in the sandbox, and hides its files
        except OSError:
            return False

    def accepts(self, port: int) -> bool:
        """Whether the process waits for connections at the TCP *port*: its event loop watches the listening socket."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = {
            f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port
        }
        folder = Path(f"/proc/{self.pid}")
        try:
            sockets = {fd.name for fd in (folder / "fd").iterdir() if os.readlink(fd) in listening}
            texts = [each.read_text() for each in (folder / "fdinfo").iterdir()]
        except OSError:  # it has ended, or has closed a descriptor meanwhile
            return False
        return not sockets.isdisjoint(re.findall(r"^tfd:\s+(\d+)", "".join(texts), re.MULTILINE))


@contextmanager
def frozen(processes: Iterable[Process]) -> Iterator[None]:
    """Stop *processes* until the block ends."""
    stopped = [*processes]
    for each in stopped:
        os.kill(each.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in stopped:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGCONT)


def family(pid: int) -> set[Process]:
    """Return all descendants of *pid*."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if (seen := _stat(int(entry.name))) is not None:
            children.setdefault(int(seen[1]), []).append(int(entry.name))
    found, parents = set(), [pid]
    while parents:
        for child in children.get(parents.pop(), []):
            parents.append(child)
            if (seen := _stat(child)) is not None:
                found.add(Process(child, seen[19], _command(child)))
    return found


def all_processes() -> set[Process]:
    """Return all running processes of this machine."""
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    found = (Process(pid, seen[19], _command(pid)) for pid in pids if (seen := _stat(pid)) is not None)
    return {each for each in found if each.alive}


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on. None if the process is gone."""
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
    except OSError:  # gone, or the process of another user
        return b""


class Service:
    """A started service.

    *directory* is its working directory, *temporary* the folder of its temporary files. No other process uses them.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process, self.port = process, port
        self.directory, self.temporary = folder / "empty", folder / "tmp"
        self._out, self._err = folder / "out", folder / "err"

    @property
    def printed(self) -> str:
        return self._out.read_text("utf-8")

    @property
    def logged(self) -> str:
        return self._err.read_text("utf-8")

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of the log. Fail if a line is not a JSON object with an event of the service."""
        lines = [json.loads(line) for line in self.logged.splitlines()]
        assert [line["event"] for line in lines if not re.fullmatch(r"[a-z_]+\.[a-z_]+", line["event"])] == []
        return lines

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The lines of the log at the level of errors."""
        return [line for line in self.events if line["level"] in ("error", "critical")]

    def get(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        """Send a request and read the whole answer. Raises if the body is cut short."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()

    def get_unless_slow(self, path: str, headers: dict[str, str]) -> Answer | None:
        """Send a request and read the whole answer. None if there is none and this client was slow to send the request.

        A process that ends waits only a moment for the header of a new connection.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        begun, sent = time.monotonic(), math.inf
        connection.connect()
        try:
            connection.request("GET", path, headers=headers)
            sent = time.monotonic()
            response = connection.getresponse()
            return Answer(response.status, {}, response.read())
        except (OSError, http.client.HTTPException):
            if sent - begun < 0.1:
                raise
            return None
        finally:
            connection.close()

    @contextmanager
    def under_load(self, *requests: tuple[str, dict[str, str]]) -> Iterator[list[int]]:
        """Send each of *requests*, a path and headers, again and again until the block ends. Yield the statuses.

        Raise what a client raises.
        """
        over, statuses = threading.Event(), list[int]()

        def ask(path: str, headers: dict[str, str]) -> None:
            while not over.is_set():
                if (answer := self.get_unless_slow(path, headers)) is not None:
                    statuses.append(answer.status)

        with ThreadPoolExecutor(len(requests)) as clients:
            asking = [clients.submit(ask, *request) for request in requests]
            try:
                yield statuses
            finally:
                over.set()
            for each in asking:
                each.result()

    @property
    def answers(self) -> bool:
        """Whether the service takes a connection and answers."""
        try:
            return self.get("/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    @property
    def renders_started(self) -> int:
        """The metric of started renders."""
        lines = self.get("/metrics").body.decode().splitlines()
        (line,) = (line for line in lines if line.startswith("contact_image_renders_started_total "))
        return int(float(line.split()[1]))

    def wait_until_it_answers(self) -> None:
        """Wait for the first answer. Fail if the service ends before."""
        block_until(lambda: self.answers or self.process.poll() is not None, STARTED_WITHIN, "the service answers")
        assert self.process.poll() is None, f"the service ended with {self.process.returncode}: {self.logged}"

    def with_renderers(self, count: int) -> set[Process]:
        """Wait until the service is ready and has *count* idle render processes. Return all its descendants."""
        block_until(lambda: self.get("/readyz").status == 200, STARTED_WITHIN, "it renders")
        block_until(
            lambda: len(self.renderers) == count and all(each.waits_for_jobs for each in self.renderers),
            STARTED_WITHIN,
            f"{count} render processes are ready",
        )
        block_until(
            lambda: all(each.accepts(self.port) for each in self.servers), STARTED_WITHIN, "all processes take requests"
        )
        return family(self.process.pid)

    @property
    def servers(self) -> set[Process]:
        """The processes that take requests, where there are several: the children with the command `serve`.

        The watchdog of the private Valkey server is a child too, and has another command.
        """
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {each for each in family(self.process.pid) if str(each.pid) in children and " serve " in each.command}

    @property
    def renderers(self) -> set[Process]:
        """The render processes."""
        return {each for each in family(self.process.pid) if RENDERER in each.command}

    @contextmanager
    def frozen_renderers(self) -> Iterator[None]:
        """Stop the render processes until the block ends, so that a render cannot finish within it."""
        with frozen(self.renderers):
            yield

    @property
    def relatives(self) -> set[Process]:
        """All running processes with the service's session or TMPDIR, without the first: descendants and orphans.

        The environment of a render process may be hidden, and the watchdog has a session of its own.
        """
        variable = f"TMPDIR={self.temporary}\0".encode()
        others = (each for each in all_processes() if each.pid != self.process.pid)
        return {each for each in others if each.session == self.process.pid or variable in _environment(each.pid)}

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def send_group(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def end(self, seconds: float = 15.0) -> int:
        """Wait until the process ends. Return its exit code."""
        return self.process.wait(seconds)


@contextmanager
def running(
    *arguments: str | Path,
    command: tuple[str, ...] = COMMAND,
    wait: bool = True,
    port: int | None = None,
    out: int | None = None,
    err: int | None = None,
    terminal: int | None = None,
    **variables: str,
) -> Iterator[Service]:
    """Run `contact-image serve` with *arguments* in an empty directory. At the end of the block, kill it if it runs.

    The service gets *variables*, and no other CONTACT_IMAGE_ variable. It has one render process unless they say more.
    *out* and *err* are descriptors in place of the files of standard output and standard error. *terminal* is the
    descriptor of a terminal that controls the service, and is its standard input.
    """

    def prepare() -> None:
        # A run of the tests under nohup ignores SIGHUP, and the service would inherit that.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        if terminal is not None:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    port = port or free_port()
    # Not pytest's folder: the path of a unix socket has 108 bytes at most.
    with tempfile.TemporaryDirectory(prefix="service-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "empty").mkdir()
        (folder / "tmp").mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONTACT_IMAGE_")}
        environment |= {"TMPDIR": str(folder / "tmp"), "CONTACT_IMAGE_RENDER__WORKERS": "1", **variables}
        with (folder / "out").open("wb") as printed, (folder / "err").open("wb") as logged:
            process = subprocess.Popen(
                [*command, "serve", "--port", str(port), *map(str, arguments)],
                cwd=folder / "empty",
                env=environment,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=printed if out is None else out,
                stderr=logged if err is None else err,
                start_new_session=True,
                preexec_fn=prepare,
            )
        service = Service(process, port, folder)
        try:
            if wait:
                service.wait_until_it_answers()
            yield service
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            block_until(lambda: not service.relatives, 60, "all its processes end")


def run(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process until it ends."""
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


def invoke(*arguments: str | Path, **variables: str) -> Result:
    """Run the command in this process, for its output and exit code. The tests' configuration of the logs stays."""
    unset = {name: None for name in os.environ if name.startswith("CONTACT_IMAGE_")}
    with patch("service.serving.logs.configure_logs"):
        return CliRunner().invoke(main, [*map(str, arguments)], env=unset | variables)


def assert_stopped(service: Service, before: set[Process]) -> None:
    """Assert that *service* ends with 0, logs no error, and leaves neither processes of *before* nor files."""
    assert service.end() == 0
    assert service.errors == []
    assert service.events[-1]["event"] == "server.stopped"
    assert "Traceback" not in service.logged
    nothing_left(service, before)


def assert_port_is_free(service: Service) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", service.port))
        listener.listen()


def nothing_left(service: Service, before: set[Process], seconds: float = 5.0) -> None:
    """Wait until no process of *before*, relative or temporary file of *service* is left. Fail after *seconds*."""
    block_until(lambda: not [each for each in before if each.alive], seconds, f"none is left of {before}")
    block_until(lambda: not service.relatives, seconds, "no relative is left")
    block_until(lambda: not list(service.temporary.iterdir()), seconds, f"{service.temporary} is empty")
