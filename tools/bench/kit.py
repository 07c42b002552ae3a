"""The load kit on this machine: each scenario against the service over drawn pictures. It draws `docs/load.png`.

The loads are those of `contact-image load`, whose client is on the same machine as the service.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from pathlib import Path

from matplotlib.figure import Figure

from service.load.figures import percentile, percentiles
from tools.bench.instruments.figures import show
from tools.bench.instruments.processes import HOST, ROOT, service, valkey

_RATES = {"hits": 1000, "304": 1000, "zipf": 20, "misses": 10, "stampede": 100, "overload": 60}
"""Requests a second of each scenario, in the order in which they are sent."""
_CONTACTS = 1000
_COLOURS = ("#3f9457", "#5b8def", "#7b5ea7", "#2f6fb7", "#d9822b", "#c0392b")


def run(options: Namespace) -> None:
    """Print a row for each scenario."""
    rows, latencies = [], dict[str, list[float]]()
    with tempfile.TemporaryDirectory(prefix="bench-") as text, valkey() as (url, _):
        images = Path(text) / "images"
        _run("generate", str(_CONTACTS), str(images))
        with service(images, cache__url=url) as server:
            for scenario, rate in _RATES.items():
                folder = Path(text) / scenario
                options_of_load = ("--rate", str(rate), "--for", f"{options.load_seconds}s", "--report", str(folder))
                contacts = ("--contacts", f"1-{_CONTACTS}")
                printed = _run(
                    "load", f"http://{HOST}:{server.port}", "--scenario", scenario, *options_of_load, *contacts
                )
                with (folder / "outcomes.csv").open(newline="") as file:
                    outcomes = list(csv.DictReader(file))
                found = sorted(float(row["latency_ms"]) for row in outcomes)
                latencies[f"{scenario}, {rate:,}/s"] = found
                rows.append([scenario, f"{rate:,}", *_figures(outcomes, found), _lag(outcomes, printed)])
    heads = (
        "scenario",
        "requests/s",
        "statuses",
        "hits, %",
        "p50, ms",
        "p99, ms",
        "p99.9, ms",
        "longest, ms",
        "client",
    )
    show(f"{_CONTACTS:,} contacts, {options.load_seconds} s each, {os.cpu_count()} processors for both", heads, rows)
    _plot(ROOT / "docs" / "load.png", latencies)


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def _figures(outcomes: list[dict[str, str]], latencies: list[float]) -> list[str]:
    statuses = Counter(row["status"] or "no answer" for row in outcomes)
    hits = sum("; hit" in row["cache_status"] for row in outcomes)
    shown = ", ".join(f"{count:,} × {status}" for status, count in sorted(statuses.items()))
    return [
        shown,
        f"{100 * hits / len(outcomes):.0f}",
        *(f"{percentile(latencies, each):,.1f}" for each in (50, 99, 99.9, 100)),
    ]


def _lag(outcomes: list[dict[str, str]], printed: str) -> str:
    """Return how late the client was, and whether it says that it was the bottleneck."""
    late = percentile(sorted(float(row["lag_ms"]) for row in outcomes), 99)
    return f"{late:.1f} ms late at p99" + (", the bottleneck" if "bottleneck" in printed else "")


def _plot(file: Path, latencies: dict[str, list[float]]) -> None:
    figure = Figure(figsize=(9, 4.2), dpi=110, layout="constrained")
    axis = figure.subplots()
    for (name, values), colour in zip(latencies.items(), _COLOURS, strict=True):
        steps = [1.06**step for step in range(300) if 1.06**step <= len(values)]
        axis.plot(steps, [percentile(values, 100 - 100 / each) for each in steps], label=name, color=colour, lw=1.8)
    most = max(map(len, latencies.values()))
    ticks = [0.0, *(each for each in percentiles(most) if each in (50, 90, 99, 99.9, 99.99))]
    axis.set(
        xscale="log", yscale="log", ylabel="milliseconds from the intended start", xlabel="percentile of the requests"
    )
    axis.xaxis.set_minor_formatter("")
    axis.set_xticks([100 / (100 - each) for each in ticks], [f"{each:g} %" for each in ticks])
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.grid(color="#e4e4e4", lw=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(which="minor", length=0)
    figure.legend(loc="outside upper center", ncols=len(latencies), frameon=False, fontsize=9)
    figure.savefig(file)
    print(f"drawn: {file}")
