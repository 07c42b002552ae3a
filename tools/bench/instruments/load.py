"""Load over persistent connections, from a process of its own: `wrk`, or the clients of this package without it.

`python -m tools.bench.instruments.load PORT FILE SECONDS CONNECTIONS NAME:VALUE…` runs these clients. FILE has a path
on each line.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import quantiles

from tools.bench.instruments.clients import Answer, connected, converse, request, succeeded
from tools.bench.instruments.figures import ratios, spread
from tools.bench.instruments.processes import HOST, ROOT, Server, processor_seconds

CONNECTIONS = 32
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """Answered requests per second, and the 99th percentile of their latency in milliseconds."""

    rate: float
    p99: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A server on *port* with its processes *pids*, the header fields of its requests, and its figures of every run.

    The descendants of the processes count, too.
    """

    port: int
    pids: tuple[int, ...]
    headers: Mapping[str, str]
    rates: list[float] = field(default_factory=list)
    """Requests per second."""
    costs: list[float] = field(default_factory=list)
    """Seconds of processor time for one request."""

    def measure(self, paths: Sequence[str], seconds: int, connections: int = CONNECTIONS) -> float:
        """Add the figures of one run, and return its requests per second."""
        begun = processor_seconds(self.pids)
        rate = load(self.port, paths, self.headers, seconds=seconds, connections=connections).rate
        answered = max(1.0, rate * seconds)
        self.costs.append((processor_seconds(self.pids) - begun) / answered)
        self.rates.append(rate)
        return rate

    def compared(self, reference: Measured) -> list[str]:
        """Return the ratio of the rate to that of *reference*, and the same by processor time where it is known.

        Processor time is steadier on a busy machine.
        """
        effort = spread(ratios(reference.costs, self.costs)) if all(self.costs) else ""
        return [spread(ratios(self.rates, reference.rates)), effort]


def measured(server: Server, headers: Mapping[str, str]) -> Measured:
    """Return *server* without any figures yet."""
    return Measured(server.port, (server.process.pid,), headers)


def load(
    port: int, paths: Sequence[str], headers: Mapping[str, str], *, seconds: int, connections: int = CONNECTIONS
) -> Load:
    """Request *paths* in their order, again and again, for *seconds*.

    End the benchmark when an answer is not a success.
    """
    lines = [part for name, text in headers.items() for part in ("-H", f"{name}: {text}")]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(paths))
        file.flush()
        if wrk := shutil.which("wrk"):
            script = ["-s", str(Path(__file__).with_name("paths.lua"))] if len(paths) > 1 else []
            command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout=20s", *lines, *script]
            command += [f"http://{HOST}:{port}{paths[0]}", *(["--", file.name] if script else [])]
        else:
            arguments = [file.name, str(seconds), str(connections), *lines[1::2]]
            command = [sys.executable, "-m", "tools.bench.instruments.load", str(port), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 30)
    rate = re.search(r"Requests/sec: +([0-9.]+)", done.stdout)
    p99 = re.search(r"99% +([0-9.]+)(us|ms|s|m)", done.stdout)
    if done.returncode or rate is None or p99 is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"the load failed:\n{done.stdout}{done.stderr}")
    return Load(float(rate[1]), float(p99[1]) * _UNITS[p99[2]])


async def _main(port: int, paths: list[str], seconds: float, connections: int, headers: Mapping[str, str]) -> None:
    """Run the clients, and print the lines of `wrk` that `load` reads."""
    requests = cycle([request(path, headers) for path in paths])
    clients = await connected(port, connections)
    took: list[float] = []

    def receive(answer: Answer) -> None:
        succeeded(answer)
        took.append(answer.took)

    def until(deadline: float) -> Iterator[bytes]:
        while time.perf_counter() < deadline:
            yield next(requests)

    begun = time.perf_counter()
    await converse(clients, until(begun + seconds), receive)
    print(f"99% {1000 * quantiles(took, n=100)[98]:.3f}ms")
    print(f"Requests/sec: {len(took) / (time.perf_counter() - begun):.2f}")


if __name__ == "__main__":
    import uvloop

    port, file, seconds, connections, *fields = sys.argv[1:]
    headers = dict(field.split(": ", 1) for field in fields)
    uvloop.run(_main(int(port), Path(file).read_text().split(), float(seconds), int(connections), headers))
