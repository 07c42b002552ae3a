"""Load over persistent connections, from a process of its own: `wrk`, or the clients of this package without it.

`python -m tools.bench.load PORT FILE SECONDS CONNECTIONS NAME:VALUE…` runs these clients. FILE has a path on each line.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import quantiles

from tools.bench.clients import Answer, connected, converse, request, succeeded
from tools.bench.processes import HOST, ROOT

CONNECTIONS = 32
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """Answered requests per second, and the 99th percentile of their latency in milliseconds."""

    rate: float
    p99: float


def load(
    port: int, paths: Sequence[str], headers: Mapping[str, str], *, seconds: int, connections: int = CONNECTIONS
) -> Load:
    """Request *paths* at random for *seconds*. End the benchmark when an answer is not a success."""
    lines = [part for name, text in headers.items() for part in ("-H", f"{name}: {text}")]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(paths))
        file.flush()
        if wrk := shutil.which("wrk"):
            script = ["-s", str(Path(__file__).with_name("paths.lua"))] if len(paths) > 1 else []
            command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *lines, *script]
            command += [f"http://{HOST}:{port}{paths[0]}", *(["--", file.name] if script else [])]
        else:
            arguments = [file.name, str(seconds), str(connections), *lines[1::2]]
            command = [sys.executable, "-m", "tools.bench.load", str(port), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 30)
    rate = re.search(r"Requests/sec: +([0-9.]+)", done.stdout)
    p99 = re.search(r"99% +([0-9.]+)(us|ms|s|m)", done.stdout)
    if done.returncode or rate is None or p99 is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"the load failed:\n{done.stdout}{done.stderr}")
    return Load(float(rate[1]), float(p99[1]) * _UNITS[p99[2]])


async def _main(port: int, paths: list[str], seconds: float, connections: int, headers: Mapping[str, str]) -> None:
    """Run the clients, and print the lines of `wrk` that `load` reads."""
    requests, random = [request(path, headers) for path in paths], Random()
    clients = await connected(port, connections)
    took: list[float] = []

    def receive(answer: Answer) -> None:
        succeeded(answer)
        took.append(answer.took)

    def until(deadline: float) -> Iterator[bytes]:
        while time.perf_counter() < deadline:
            yield random.choice(requests)

    begun = time.perf_counter()
    await converse(clients, until(begun + seconds), receive)
    print(f"99% {1000 * quantiles(took, n=100)[98]:.3f}ms")
    print(f"Requests/sec: {len(took) / (time.perf_counter() - begun):.2f}")


if __name__ == "__main__":
    import uvloop

    port, file, seconds, connections, *fields = sys.argv[1:]
    headers = dict(field.split(": ", 1) for field in fields)
    uvloop.run(_main(int(port), Path(file).read_text().split(), float(seconds), int(connections), headers))
