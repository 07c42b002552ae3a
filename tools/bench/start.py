"""The time from the start of the service to its first picture, against that of the imports of its libraries.

The processor time is that of the process that serves, without its render processes.
"""

from __future__ import annotations

import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

from tools.bench.instruments.figures import ratios, show, spread
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import HOST, PATH, ROOT, Server, free_port, process, service_command, valkey

_IMPORTS = "import aiohttp, PIL, redis, pydantic_settings"
_TIMEOUT = 30.0
_SHOWN = 25
"""Modules that --verbose prints."""


def run(options: Namespace) -> None:
    """Measure with a running cache server, without the start of the embedded one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, valkey() as (url, _):
        images = Path(folder)
        (images / "1.jpg").write_bytes(photograph(300, 400))
        first_picture(images, url)  # writes the bytecode, and loads the files into memory
        imports()
        taken = [(first_picture(images, url), imports()) for _ in range(options.runs)]
    rows = []
    for name, place in (("first 200", 0), ("processor time", 1)):
        ours, reference = ([each[side][place] for each in taken] for side in (0, 1))
        rows.append([name, spread(ours), spread(reference), spread(ratios(ours, reference)), "1.2"])
    show(f"Start, {options.runs} runs", ("", "ours, s", f"`{_IMPORTS}`, s", "ours / imports", "aim"), rows)
    if options.verbose:
        show("Imports of the service", ("module", "own ms", "with its own, ms"), slowest_imports())


def first_picture(images: Path, url: str) -> tuple[float, float]:
    """Return the seconds from the start of `contact-image serve` to the first 200, and those of processor time."""
    port = free_port()
    begun = time.perf_counter()
    with process(*service_command(images, port), variables={"CONTACT_IMAGE_CACHE__URL": url}) as child:
        while time.perf_counter() - begun < _TIMEOUT and child.poll() is None:
            if _answers(port):
                return time.perf_counter() - begun, Server(port, child).processor_seconds()
            time.sleep(0.001)
    raise SystemExit("the service did not answer")


def imports() -> tuple[float, float]:
    """Return the seconds of the imports, and those of processor time."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", _IMPORTS], cwd=ROOT, check=True, timeout=_TIMEOUT)
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def slowest_imports() -> list[list[str]]:
    """Return the modules with the longest imports, from the output of `-X importtime`."""
    command = [sys.executable, "-X", "importtime", "-c", "import service.serving.run"]
    done = subprocess.run(command, cwd=ROOT, check=True, timeout=_TIMEOUT, capture_output=True, text=True)
    lines = re.findall(r"import time: +(\d+) \| +(\d+) \|( +)(\S+)", done.stderr)
    entries = sorted(((int(total), int(own), name) for own, total, _, name in lines), reverse=True)
    return [[name, f"{own / 1000:.1f}", f"{total / 1000:.1f}"] for total, own, name in entries[:_SHOWN]]


def _answers(port: int) -> bool:
    with socket.socket() as connection:
        if connection.connect_ex((HOST, port)):
            return False
        connection.settimeout(_TIMEOUT)
        connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
