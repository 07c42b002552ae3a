"""The report of a run: one file of HTML, the outcomes as CSV, and the requests. Without matplotlib it has no plots."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from http.client import responses
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from string import Template

from service.load.figures import Figures, Threshold, field, most_common, percentile, percentiles
from service.load.plots import plots
from service.load.requests import Schedule, bodies_of, lines
from service.load.runner import Run
from service.load.scenarios import SCENARIOS

NO_PLOTS = "The plots need matplotlib: pip install 'contact-image[load]'"
_REQUESTS = "requests.jsonl"
_MOST_STATUSES = 20
"""Rows of the table of statuses."""
_MOST_RANGES = 10
"""Ranges of contacts in a sentence, at most."""
_REMAIN = "uploads-left.urls"
BOTTLENECK = "The client was itself a bottleneck"


def write_report(
    folder: Path, run: Run, schedule: Schedule, result: Figures, thresholds: Sequence[Threshold], began: datetime
) -> Path:
    """Write `report.html`, `outcomes.csv` and `requests.jsonl` into *folder*, and return the first. Raise OSError.

    Uploads that may remain are added to a list, which may have those of an earlier run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if result.remain:
        with (folder / _REMAIN).open("a", encoding="utf-8") as file:
            file.writelines(f"{run.origin}{target}\n" for target in result.remain)
    write_requests(folder, schedule[: len(result.outcomes)])
    with (folder / "outcomes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(_rows(schedule, result))
    report = folder / "report.html"
    report.write_text(_page(run, result, thresholds, began), "utf-8")
    return report


def is_of_runs(folder: Path) -> bool:
    """Return whether *folder* is missing, empty, or has a list of an earlier run. Raise OSError."""
    names = {each.name for each in folder.iterdir()} if folder.exists() else set()
    return not names or not names.isdisjoint((_REQUESTS, _REMAIN))


def write_requests(folder: Path, schedule: Schedule) -> None:
    """Write `requests.jsonl` into *folder*, and each different body as a file of its own. Raise OSError."""
    for name, body in bodies_of(schedule).items():
        (folder / name).write_bytes(body)
    with (folder / _REQUESTS).open("w", encoding="utf-8") as file:
        file.writelines(lines(schedule))


_COLUMNS = (
    "at_s", "lag_ms", "latency_ms", "status", "bytes", "method", "target", "cache_status", "server_timing", "fault"
)  # fmt: skip


def _rows(schedule: Schedule, result: Figures) -> Iterable[tuple[object, ...]]:
    for each in result.outcomes:
        request = schedule[each.number][1]
        yield (
            f"{each.at:.6f}", f"{1000 * each.lag:.3f}", f"{1000 * each.seconds:.3f}", each.status or "", each.size,
            request.method, request.target, _cell(field(each.header, b"cache-status")),
            _cell(field(each.header, b"server-timing")), each.fault,
        )  # fmt: skip


def _cell(text: str) -> str:
    """Return *text* of the service for a cell. Programs for tables would compute a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


def _page(run: Run, result: Figures, thresholds: Sequence[Threshold], began: datetime) -> str:
    what = SCENARIOS[run.scenario].what
    page = Template(files("service.load").joinpath("report.html").read_text("utf-8"))
    return page.substitute(
        scenario=escape(run.scenario),
        url=escape(run.target.url),
        what=escape(what[0].upper() + what[1:]),
        rate=f"{run.rate:,g}",
        seconds=f"{run.seconds:g}",
        began=began.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        verdicts="".join(_verdicts(result, thresholds)),
        tiles="".join(_tiles(result)),
        plots=_plots(result),
        tables="".join(_tables(run, result)),
    )


def _verdicts(result: Figures, thresholds: Sequence[Threshold]) -> Iterable[str]:
    for each in thresholds:
        kind, mark = ("good", "✓") if each.met else ("bad", "✗")
        yield f'<li class="{kind}"><b>{mark}</b>{escape(each.text)}</li>'
    if not thresholds:
        yield '<li class="quiet"><b>–</b>No threshold was given.</li>'
    for words in troubles(result):
        yield f'<li class="bad"><b>✗</b>{escape(words)}</li>'
    for reason in result.bottleneck():
        yield f'<li class="warn"><b>!</b>{BOTTLENECK}: {escape(reason)}. The latencies include its delays.</li>'
    if not result.bottleneck():
        yield '<li class="good"><b>✓</b>The client kept the rate: ' + escape(kept_rate(result)) + "</li>"


def troubles(result: Figures) -> list[str]:
    """Return what makes the run incomplete."""
    interrupted = [f"The run was interrupted after {result.seconds:.1f} s."] if result.interrupted else []
    return [*interrupted, *([_remaining(result.remain)] if result.remain else [])]


def _remaining(targets: Sequence[str]) -> str:
    """Return which uploads may remain, and the command that deletes them."""
    ranges: list[list[int]] = []
    for contact in sorted({int(target.split("/")[-2]) for target in targets}):
        if ranges and contact == ranges[-1][1] + 1:
            ranges[-1][1] = contact
        else:
            ranges.append([contact, contact])
    shown = [f"{first}-{last}" if first < last else f"{first}" for first, last in ranges[:_MOST_RANGES]]
    return (
        f"{len(targets):,} uploads may remain, of the contacts {', '.join(shown)}{', …' * (len(ranges) > len(shown))}. "
        f"{_REMAIN} in the folder of the report has their URLs. This deletes them, with -H for a credential: "
        f"xargs -n 1 curl -X DELETE < {_REMAIN}"
    )


def kept_rate(result: Figures) -> str:
    """Return how late requests were sent, and the processor time of the client."""
    return (
        f"{result.sent_rate:,.1f} of {result.rate:,g} requests a second were sent, "
        f"{milliseconds(percentile(result.lags, 50))} late in the median and "
        f"{milliseconds(percentile(result.lags, 99))} at p99, with "
        f"{result.client.processor / result.client.elapsed:.0%} of one processor."
    )


def summary(result: Figures, thresholds: Sequence[Threshold]) -> Iterable[str]:
    """Yield the lines that the command prints."""
    sent = len(result.outcomes)
    yield f"requests: {sent:,}, {result.errors:,} errors, {sent - result.answered:,} without an answer"
    shown = (50, 90, 99, 100)
    yield "latency: " + ", ".join(
        f"{_named(each)} {milliseconds(percentile(result.latencies, each))}" for each in shown
    )
    yield f"rate: {kept_rate(result)}"
    yield from troubles(result)
    for reason in result.bottleneck():
        yield f"{BOTTLENECK}: {reason}"
    for each in thresholds:
        yield f"{'met' if each.met else 'NOT MET'}: {each.text}"


def _tiles(result: Figures) -> Iterable[str]:
    latencies = result.latencies
    for value, what in (
        (f"{len(result.outcomes):,}", "requests"),
        (f"{result.sent_rate:,.1f}", f"sent a second, of {result.rate:,g} intended"),
        (f"{result.expected_rate:,.1f}", "answered as expected a second"),
        (milliseconds(percentile(latencies, 50)), "latency, p50"),
        (milliseconds(percentile(latencies, 99)), "latency, p99"),
        (milliseconds(latencies[-1]), "latency, longest"),
    ):
        yield f'<div class="tile"><b>{value}</b><span>{what}</span></div>'
    kind = "bad" if result.errors else "good"
    share = _share(result, result.errors)
    yield f'<div class="tile"><b class="{kind}">{share}</b><span>errors: {result.errors:,}</span></div>'


def _plots(result: Figures) -> str:
    try:
        drawn = plots(result)
    except ImportError:
        return f'<section class="quiet">{escape(NO_PLOTS)}</section>'
    return "".join(f"<section><h2>{escape(title)}</h2>{svg}</section>" for title, svg in drawn.items())


def _tables(run: Run, result: Figures) -> Iterable[str]:
    yield _table(
        "Latency",
        ("percentile", "from the intended start", "from sending"),
        (
            (
                _named(each),
                milliseconds(percentile(result.latencies, each)),
                milliseconds(percentile(result.service_times, each)),
            )
            for each in (0, *percentiles(len(result.latencies)))
        ),
        ("mean", milliseconds(fmean(result.latencies)), milliseconds(fmean(result.service_times))),
    )
    yield _table("Statuses", ("status", "requests", "share", "expected", "p50", "p99"), _statuses(result))
    yield _table(
        "Outcome by cache, by Cache-Status",
        ("cache: outcome", "requests", "share"),
        _shares(result, most_common(result.caches)),
    )
    yield _table(
        "Stages, by Server-Timing",
        ("stage", "answers", "p50", "p95", "p99", "longest"),
        (
            (name, f"{len(values):,}", *(milliseconds(percentile(values, each)) for each in (50, 95, 99, 100)))
            for name, values in result.stages.items()
        ),
    )
    if result.faults:
        yield _table(
            "Requests without an answer", ("reason", "requests", "share"), _shares(result, most_common(result.faults))
        )
    yield f"<section><h2>How it was measured</h2><dl>{''.join(_circumstances(run, result))}</dl></section>"


def _circumstances(run: Run, result: Figures) -> Iterable[str]:
    client, average = result.client, ", ".join(f"{each:.1f}" for each in os.getloadavg())
    same = "the service is on the same machine, and both share its processors"
    other = "the service is on another machine, and latencies include the network"
    for name, text in {
        "Scenario": f"{run.scenario}, seed {run.seed}; {len(run.contacts):,} ids of contacts were given",
        "Client": f"contact-image {version('contact-image')}, Python {platform.python_version()}, one process",
        "Bodies": f"{result.size / 1e6:,.1f} MB, {result.size / 1e6 / client.elapsed:,.2f} MB a second",
        "Its processor time": f"{client.processor:.1f} s of {client.elapsed:.1f} s",
        "Its machine": f"{os.cpu_count()} processors, {platform.machine()}, {platform.system()} {platform.release()}",
        "Load average": f"{average} at the end",
        "Network": same if run.target.loopback else other,
    }.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"


def _statuses(result: Figures) -> Iterable[tuple[str, ...]]:
    for status, count in sorted(result.statuses.most_common(_MOST_STATUSES)):
        name = f"{status} {responses.get(status, '')}" if status else "no answer"
        shown = (milliseconds(percentile(result.of_status(status), each)) for each in (50, 99))
        yield name, f"{count:,}", _share(result, count), "yes" if status in result.expects else "no", *shown


def _shares(result: Figures, counts: Iterable[tuple[str, int]]) -> Iterable[tuple[str, ...]]:
    return ((name, f"{count:,}", _share(result, count)) for name, count in counts)


def _share(result: Figures, count: int) -> str:
    return f"{100 * count / len(result.outcomes):.2f} %"


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *more: Sequence[str]) -> str:
    rows = (*rows, *more)
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(each)}</td>" for each in row) + "</tr>" for row in rows)
    return f"<section><h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table></section>"


def _named(percent: float) -> str:
    return "shortest" if not percent else "longest" if percent == 100 else f"p{percent:g}"


def milliseconds(seconds: float) -> str:
    """Return *seconds* in milliseconds, with about three significant digits."""
    value = 1000 * seconds
    if value < 0.1:
        return f"{value:.3f} ms"
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"
