"""The service beside thumbor, ipx and nginx, on one set of drawn portraits in one run.

It writes a table and the picture `docs/compare.png` into the README, and all figures into `docs/measurements.md`.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import textwrap
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from service.load.figures import Figures
from tools.bench.comparison import jobs
from tools.bench.comparison.answers import WIDTH, negotiated, tuned
from tools.bench.comparison.plot import Bars, draw
from tools.bench.comparison.programs import CACHED, OURS, STARTS, make_pictures
from tools.bench.comparison.tables import LINE, Row, advantages, medians, replaced, spreads, weaknesses
from tools.bench.instruments.installed import NotInstalled, executable
from tools.bench.instruments.processes import ROOT, get
from tools.bench.instruments.programs import versions

_DETAILS = ("processor time", "sizes of one", "memory after the first picture", "JPEG of 12 MP")
"""What the jobs have in their names that the README does not show."""
_BARS = {
    "cached pictures": "cached",
    "304": "304",
    "misses, 2.5 MP to JPEG": "2.5 MP\nto JPEG",
    "misses, 12 MP to JPEG": "12 MP\nto JPEG",
    "misses, 2.5 MP to AVIF": "2.5 MP\nto AVIF",
}
"""Jobs that the picture shows as bars, and their labels."""
_ALT = "Latency by percentile and over time, answers a second, and rates of each program"


def run(options: Namespace) -> None:
    """Measure all jobs, or those that contain the words of `--only`; then nothing is written."""
    try:
        executable("wrk", "wrk", "libluajit-5.1-2")
    except NotInstalled as error:
        print(f"clients in Python send the load, since wrk is missing: {error}", file=sys.stderr)
    began = datetime.now(UTC)
    hits: dict[str, Figures] = {}
    cold: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as text, ExitStack() as stack:
        folder = Path(text)
        images = folder / "images"
        make_pictures(images, jobs.contacts(options))
        programs = []
        for number, start in enumerate(STARTS.values()):
            try:
                programs.append(stack.enter_context(start(images, folder / f"kept-{number}")))
            except NotInstalled as error:
                print(f"not measured: {error}")
        for each in programs:
            get(each.port, each.target(CACHED[0], WIDTH))
        memory = jobs.memory("memory after the first picture, MiB", programs)
        parts: dict[str, Callable[[], list[Row]]] = {
            "cached": lambda: jobs.cached(programs, options, hits),
            "unchanged": lambda: jobs.unchanged(programs, options),
            "misses": lambda: jobs.misses(programs, options),
            "sizes": lambda: jobs.sizes(programs, options),
            "stampede": lambda: jobs.stampede(programs, options),
            "cold": lambda: jobs.cold(programs, options, cold),
            "starts": lambda: [jobs.starts(programs, images, options)],
        }
        sizes, rows = tuned(programs, images), list[Row]()
        for name, part in parts.items():
            if options.only in name:
                print(f"{name} …", file=sys.stderr, flush=True)
                rows += part()
        rows += [memory, jobs.memory("memory after all of this, MiB", programs), *sizes, negotiated(programs)]
    names = [each.name for each in programs]
    print(spreads(rows, names), advantages(rows, OURS, names[1:]), weaknesses(rows, OURS, names[1:]), sep="\n\n")
    if not options.only:
        _write(rows, names, options, began, hits, cold)


def _write(
    rows: list[Row], names: list[str], options: Namespace, began: datetime,
    hits: dict[str, Figures], cold: dict[str, Figures],
) -> None:  # fmt: skip
    """Draw the picture, and write the tables into the documents."""
    by_job = {row.job: row for row in rows}
    rates = {label: by_job[f"{job}, a second"] for job, label in _BARS.items()}
    costs = {label: by_job[f"{job}, processor time of one, ms"] for job, label in _BARS.items()}
    panels = [Bars("As fast as they come", "requests a second", rates),
              Bars("Processor time of one request", "milliseconds", costs)]  # fmt: skip
    draw(ROOT / "docs" / "compare.png", names, hits, cold, panels)
    short = [row for row in rows if not any(each in row.job for each in _DETAILS)]
    how, peers = _how(options, began), names[1:]
    parts = {
        "README.md": (f"![{_ALT}](docs/compare.png)", medians(short, names), weaknesses(short, OURS, peers), how),
        "docs/measurements.md": (f"{how}\n{_versions()}", spreads(rows, names), advantages(rows, OURS, peers)),
    }
    for name, texts in parts.items():
        file = ROOT / name
        file.write_text(replaced(file.read_text("utf-8"), "\n\n".join(texts)), "utf-8")
        print(f"written: {file}")


def _how(options: Namespace, began: datetime) -> str:
    """Return the command, the day and the machine."""
    command = f"`python -m tools.bench compare --runs {options.runs} --seconds {options.seconds}`"
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}) that the load generator shares, Linux {platform.release()}"
    )
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return _filled(f"Medians of {command}, {began:%Y-%m-%d}, on {machine}, load average {load} at the end.")


def _versions() -> str:
    ours = f"{OURS} {version('contact-image')}, Python {platform.python_version()}, Pillow {version('pillow')}"
    return _filled(f"Versions: {'; '.join([ours, *versions()])}.")


def _filled(text: str) -> str:
    return textwrap.fill(text, LINE, break_long_words=False, break_on_hyphens=False)
