"""A Prometheus server of this machine: what it collects, and what it answers to queries."""

from __future__ import annotations

import json
import math
import shutil
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.bench.instruments.processes import HOST, free_port, get, listening, process

_TIMEOUT = 60.0
"""Seconds to wait for the answer to a query."""
_PAUSE = 0.1
"""Seconds between two looks whether the server is ready."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of an answer: its labels, and its *values* at *times*, in seconds of the epoch."""

    labels: Mapping[str, str]
    times: list[float]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server at *url*."""

    url: str

    def lines(self, query: str, begin: float, end: float, step: float) -> list[Line]:
        """Return what *query* gives at *begin* and every *step* seconds until *end*. Values are finite.

        Raise OSError if the server does not accept the query.
        """
        asked = urllib.parse.urlencode({"query": query, "start": begin, "end": end, "step": step})
        with urllib.request.urlopen(f"{self.url}/api/v1/query_range?{asked}", timeout=_TIMEOUT) as answer:
            found = json.load(answer)["data"]["result"]
        return [_line(each["metric"], [(float(at), float(value)) for at, value in each["values"]]) for each in found]


def _line(labels: Mapping[str, str], samples: list[tuple[float, float]]) -> Line:
    finite = [(at, value) for at, value in samples if math.isfinite(value)]
    return Line(labels, [at for at, _ in finite], [value for _, value in finite])


@contextmanager
def prometheus(folder: Path, configuration: str = "{}\n") -> Iterator[Prometheus]:
    """Start a server that has its samples in *folder*, with the text of a *configuration*. Exit if there is none."""
    if (program := shutil.which("prometheus")) is None:
        raise SystemExit("there is no Prometheus on the PATH: it is in Debian's package `prometheus`")
    file, port = folder / "prometheus.yml", free_port()
    file.write_text(configuration, "utf-8")
    options = f"--config.file={file}", f"--storage.tsdb.path={folder}", f"--web.listen-address={HOST}:{port}"
    with process(program, *options, "--log.level=error") as child:
        listening(child, socket.AF_INET, (HOST, port))
        while get(port, "/-/ready")[0] != 200:  # it reads its samples
            time.sleep(_PAUSE)
        yield Prometheus(f"http://{HOST}:{port}")
