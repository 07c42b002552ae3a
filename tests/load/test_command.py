"""`contact-image load`: what it sends, what decides its exit code, what it writes, and where it sends nothing."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from threading import Timer
from typing import Any

import pytest

from tests.load.conftest import CONTACTS, Load
from tests.operations.running import Service, invoke, run


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "outcomes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def requests(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


def test_hits_are_answered_from_the_cache_and_every_request_is_listed(load: Load, tmp_path: Path) -> None:
    done = load("hits")
    assert done.exit_code == 0, done.output
    outcomes, sent = rows(tmp_path / "report"), requests(tmp_path / "report")
    assert len(outcomes) == len(sent) > 40
    assert {row["status"] for row in outcomes} == {"200"}
    assert all(row["cache_status"].startswith("contact-image; hit") for row in outcomes)
    assert [row["target"] for row in outcomes] == [request["target"] for request in sent]
    assert {int(row["target"].split("/")[4]) for row in outcomes} <= set(CONTACTS)


def test_seed_decides_the_requests_and_their_times(load: Load, tmp_path: Path) -> None:
    lists = []
    for seed in (1, 1, 2):
        assert load("hits", "--seed", str(seed), "--for", "1s").exit_code == 0
        lists.append((tmp_path / "report" / "requests.jsonl").read_text())
    assert lists[0] == lists[1] != lists[2]


def test_stalled_service_is_charged_for_the_requests_that_were_to_be_sent(
    load: Load, service: Service, tmp_path: Path
) -> None:
    load("hits", "--for", "1s")  # so that the caches are warm
    timers = [Timer(at, service.process.send_signal, [number]) for at, number in ((1, SIGSTOP), (2.5, SIGCONT))]
    for timer in timers:
        timer.start()
    done = load("hits", "--for", "4s", "--p99", "300ms")
    for timer in timers:
        timer.join()
    slow = [row for row in rows(tmp_path / "report") if float(row["latency_ms"]) > 300]
    assert len(slow) >= 15  # a client that waits for each answer would have one for each connection
    assert done.exit_code == 1 and "NOT MET: p99" in done.output


@pytest.mark.parametrize(
    ("threshold", "code"),
    [
        (("--p99", "10m"), 0),
        (("--p99", "0.001ms"), 1),
        (("--errors", "0%"), 0),
        (("--errors", "0%", "--p99", "0.001ms"), 1),
    ],
)
def test_thresholds_decide_the_exit_code(load: Load, tmp_path: Path, threshold: tuple[str, ...], code: int) -> None:
    done = load("hits", "--for", "1s", *threshold)
    assert done.exit_code == code, done.output
    assert ("NOT MET" in done.output) == bool(code)
    assert (tmp_path / "report" / "report.html").exists()


def test_progress_is_a_line_where_there_is_no_terminal(service: Service, tmp_path: Path) -> None:
    options = ("--scenario", "hits", "--rate", "20", "--for", "1s")
    done = run("load", f"http://127.0.0.1:{service.port}", *options, cwd=tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"(hits: \d+%, .*\n)+", done.stderr)
    assert "\x1b" not in done.stdout + done.stderr
    assert (tmp_path / "load-report" / "report.html").exists()


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("http://pictures.example", (), "--i-own-this-host pictures.example"),
        (
            "http://pictures.example",
            ("--i-own-this-host", "other.example", "--rate", "1"),
            "--i-own-this-host pictures",
        ),
        ("http://pictures.example", ("--i-own-this-host", "pictures.example"), "give --rate"),
        ("http://192.0.2.1:8080", (), "--i-own-this-host 192.0.2.1"),
        ("http://127.0.0.1.example", (), "--i-own-this-host"),
        ("http://[::ffff:192.0.2.1]", (), "--i-own-this-host"),
        ("http://localhost.example", (), "--i-own-this-host"),
        ("http://127.0.0.1@pictures.example", (), "without credentials"),
        ("http://127.0.0.1\\@pictures.example/", (), "without credentials"),
        ("ftp://127.0.0.1", (), "http:// or https://"),
        ("http://127.0.0.1:99999", (), "Port"),
        ("http://127.0.0.1/?w=1", (), "without a query"),
    ],
)
def test_no_load_goes_to_another_host_unless_it_is_said_to_be_the_users(
    tmp_path: Path, url: str, options: tuple[str, ...], words: str
) -> None:
    done = invoke("load", url, "--scenario", "hits", "--report", tmp_path / "report", *options)
    assert done.exit_code == 2 and words in done.output
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("scenario", ["hostile", "overload"])
def test_harmful_scenarios_go_to_loopback_alone(tmp_path: Path, scenario: str) -> None:
    host = ("--i-own-this-host", "pictures.example", "--rate", "1")
    done = invoke("load", "http://pictures.example", "--scenario", scenario, *host, "--report", tmp_path / "report")
    assert done.exit_code == 2 and "loopback address alone" in done.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--for", "11m"), ("--for", "601s"), ("--for", "0s"), ("--for", "60"), ("--p99", "20"), ("--errors", "101%"),
        ("--errors", "0.1"), ("--contacts", "0"), ("--contacts", "9-1"), ("--contacts", "1-2147483648"),
        ("--contacts", "1-100001"), ("--contacts", "1-60000,70001-120000"), ("--rate", "0"), ("--rate", "nan"),
        ("--header", "X: a\r\nHost: b"), ("--header", "X"),
    ],
)  # fmt: skip
def test_values_out_of_bounds_are_refused(load: Load, tmp_path: Path, option: str, value: str) -> None:
    assert load("hits", option, value).exit_code == 2
    assert not (tmp_path / "report").exists()


def test_run_has_a_bounded_number_of_requests(load: Load) -> None:
    done = load("hits", "--rate", "2000", "--for", "10m")
    assert done.exit_code == 2 and "1,000,000" in done.output


def test_service_that_does_not_fit_is_said_to_be_so(load: Load, tmp_path: Path) -> None:
    done = load("hits", "--contacts", "900-950")
    assert done.exit_code == 1 and "none of the contacts has a picture" in done.output
    done = invoke("load", "http://127.0.0.1:1", "--scenario", "hits", "--report", tmp_path / "report")
    assert done.exit_code == 1 and "does not answer" in done.output
