"""The report of a load: one file, with plots or without, that says the truth about the client and about errors."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.load.figures import Effort, figures, thresholds
from service.load.open_loop import NO_CONNECTION, Outcome
from service.load.report import NO_PLOTS, summary, write_report
from service.load.requests import Request
from service.load.runner import Run
from service.load.scenarios import SCENARIOS
from service.load.target import parse_target
from tests.load.conftest import Load

RUN = Run(parse_target("http://127.0.0.1:8080"), "hits", [1], 10, 2, 1, {"Authorization": "Basic c2VjcmV0OnNlY3JldA=="})
HEADER = b"\r\ncache-status: contact-image; hit; ttl=9\r\nserver-timing: cache;dur=0.5, store;dur=2"

IDLE = Effort(0.1, 2.0)


def report(folder: Path, outcomes: list[Outcome], effort: Effort = IDLE) -> tuple[str, str]:
    """Return the page, and what the command prints, for these outcomes."""
    result = figures(outcomes, SCENARIOS["hits"], 10, 2, effort)
    bounds = thresholds(result, 0.02, 0.001)
    schedule = [(each.at, Request("/api/v1/Contact/1/Image")) for each in outcomes]
    file = write_report(folder, RUN, schedule, result, bounds, datetime.now(UTC))
    return file.read_text(), "\n".join(summary(result, bounds))


def outcomes(**changed: object) -> list[Outcome]:
    values = {"lag": 0.0001, "seconds": 0.004, "status": 200, "header": HEADER, "size": 1, **changed}
    return [Outcome(number, number / 10, **values) for number in range(20)]  # type: ignore[arg-type]


def test_no_text_of_the_service_is_a_formula_in_a_table(tmp_path: Path) -> None:
    header = b'\r\ncache-status: =HYPERLINK("http://evil.example")\r\nserver-timing: \t@SUM(1);dur=1'
    report(tmp_path, outcomes(header=header))
    with (tmp_path / "outcomes.csv").open(newline="") as file:
        (row, *_) = csv.DictReader(file)
    assert row["cache_status"] == '\'=HYPERLINK("http://evil.example")' and row["server_timing"] == "'\t@SUM(1);dur=1"


def test_report_is_one_file_with_plots_and_without_scripts(load: Load, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plots need matplotlib, the extra load")
    assert load("hits", "--for", "1s").exit_code == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<svg") == 5
    assert not any(part in page.lower() for part in ("<script", "<link", "<img", "src=", "@import", "@font-face"))


def test_report_has_tables_alone_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page, _ = report(tmp_path, outcomes())
    assert "<svg" not in page and "<td>contact-image: hit</td>" in page and "<td>store</td>" in page
    assert NO_PLOTS.split(":")[0] in page


def test_plot_of_one_stage_has_several_ticks(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plots need matplotlib, the extra load")
    header = b"\r\ncache-status: contact-image; hit\r\nserver-timing: cache;dur="
    found = outcomes()
    for number, outcome in enumerate(found):
        found[number] = replace(outcome, header=header + b"0.%d" % (120 + number))
    page, _ = report(tmp_path, found)
    (plot,) = re.findall(r"<h2>Stages, by Server-Timing</h2>(<svg.*?</svg>)", page, re.DOTALL)
    assert len(re.findall(r"<text[^>]*>[0-9.]+</text>", plot)) >= 3


@pytest.mark.parametrize(
    ("changed", "effort", "words"),
    [
        ({"lag": 0.05}, Effort(0.1, 2.0), "sent 50.0 ms late or more"),
        ({}, Effort(1.9, 2.0), "95% of one processor"),
        ({"status": 0, "fault": NO_CONNECTION}, Effort(0.1, 2.0), "no connection left for 20 requests"),
    ],
)
def test_client_that_was_the_bottleneck_says_so(
    tmp_path: Path, changed: dict[str, object], effort: Effort, words: str
) -> None:
    page, printed = report(tmp_path, outcomes(**changed), effort)
    assert words in page and words in printed and "The client kept the rate" not in page


def test_client_that_kept_the_rate_says_how_late_it_was(tmp_path: Path) -> None:
    page, printed = report(tmp_path, outcomes())
    assert "bottleneck" not in page + printed
    assert "0.10 ms late in the median" in page and "0.10 ms late in the median" in printed


def test_requests_without_an_answer_are_errors_with_latencies(tmp_path: Path) -> None:
    page, printed = report(tmp_path, [*outcomes(), Outcome(20, 1.9, 0, 20.0, 0, fault="no answer")])
    assert "1 errors, 1 without an answer" in printed and "longest 20,000 ms" in printed
    assert printed.count("NOT MET") == 2 and "<td>no answer</td>" in page


def test_text_of_the_service_is_no_markup_of_the_report(tmp_path: Path) -> None:
    header = b"\r\ncache-status: <script>alert(1)</script>; $x_{$; hit\r\nserver-timing: a$b^;dur=2"
    page, _ = report(tmp_path, outcomes(header=header))
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_credentials_are_in_no_file(tmp_path: Path) -> None:
    report(tmp_path, outcomes())
    assert not any("c2VjcmV0" in file.read_text() for file in tmp_path.iterdir())


def test_times_of_hits_and_misses_come_from_the_headers(tmp_path: Path) -> None:
    page, _ = report(tmp_path, outcomes())
    assert "<td>store</td><td>20</td><td>2.00 ms</td>" in page and "contact-image: hit" in page
