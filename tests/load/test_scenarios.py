"""Each scenario against a real service: what it requests, and what it leaves behind."""

from __future__ import annotations

import subprocess
from collections import Counter
from itertools import groupby
from pathlib import Path
from random import Random
from signal import SIGINT, SIGTERM

import pytest

from service.cli.load import SCENARIO_NAMES
from service.load.scenarios import SCENARIOS, Plan, TooFewContacts
from tests.load.conftest import CONTACTS, Load
from tests.load.test_command import requests, rows
from tests.operations.running import COMMAND, Service, block_until
from tools.pictures.drawing import quarters, saved

UPLOAD = "/api/v1/Contact/2000000000/Image"
"""Where the first upload of a run goes."""


def plan(rate: float = 100, seconds: float = 10, contacts: range = CONTACTS) -> Plan:
    return Plan("", contacts, rate, seconds, Random(1), {})


def test_command_knows_every_scenario() -> None:
    assert tuple(SCENARIOS) == SCENARIO_NAMES


def test_misses_are_of_no_cache_and_none_is_requested_twice(load: Load, tmp_path: Path) -> None:
    load("misses", "--rate", "8")
    outcomes = rows(tmp_path / "report")
    assert len({row["target"] for row in outcomes}) == len(outcomes)
    assert {row["status"] for row in outcomes} <= {"200", "503"}  # a busy machine refuses some
    done = [row for row in outcomes if row["status"] == "200"]
    assert done and all("fwd=miss" in row["cache_status"] and "render;dur" in row["server_timing"] for row in done)


def test_misses_need_enough_contacts() -> None:
    with pytest.raises(TooFewContacts):
        SCENARIOS["misses"].schedule(plan(rate=5000, contacts=range(1, 2)))


def test_contacts_are_drawn_by_the_law_of_zipf() -> None:
    drawn = Counter(request.target.split("/")[4] for _, request in SCENARIOS["zipf"].schedule(plan(rate=1000)))
    first, *_, last = (count for _, count in drawn.most_common())
    assert len(drawn) == len(CONTACTS) and 4 < first / last < 6.5


def test_pictures_that_have_not_changed_are_304(load: Load, tmp_path: Path) -> None:
    assert load("304", "--errors", "0%").exit_code == 0
    assert {(row["status"], row["bytes"]) for row in rows(tmp_path / "report")} == {("304", "0")}
    assert all(request["fields"]["If-None-Match"].startswith('"') for request in requests(tmp_path / "report"))


def test_stampede_is_of_identical_requests_at_once_that_are_rendered_once(load: Load, tmp_path: Path) -> None:
    assert load("stampede", "--errors", "0%").exit_code == 0
    sent = requests(tmp_path / "report")
    crowds = [(at, [each["target"] for each in crowd]) for at, crowd in groupby(sent, lambda each: each["at"])]
    assert [(at, len(crowd), len(set(crowd))) for at, crowd in crowds] == [(0, 40, 1), (1, 40, 1)]
    stored = Counter(row["target"] for row in rows(tmp_path / "report") if "stored" in row["cache_status"])
    assert len(stored) == 2 and set(stored.values()) == {1}


def test_uploads_leave_the_pictures_of_contacts_as_they_were(load: Load, service: Service, tmp_path: Path) -> None:
    assert service.get(UPLOAD, {"Content-Type": "image/jpeg"}, "PUT", saved(quarters(), "JPEG")).status == 200
    before = service.get(UPLOAD).body
    try:
        load("uploads", "--rate", "10")
        statuses = [row["status"] for row in rows(tmp_path / "report")]
        assert statuses[0] == "412" and set(statuses[1:]) == {"200"}
        assert service.get(UPLOAD).body == before
        left = [service.get(row["target"]).status for row in rows(tmp_path / "report")[1:]]
        assert set(left) == {404}
    finally:
        service.get(UPLOAD, method="DELETE")


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_interrupted_run_deletes_its_uploads_and_reports_what_was_sent(
    service: Service, tmp_path: Path, number: int
) -> None:
    command = [*COMMAND, "load", f"http://127.0.0.1:{service.port}", "--scenario", "uploads", "--for", "1m"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--rate", "10"], cwd=tmp_path, **pipes) as process:  # type: ignore[call-overload]
        try:
            block_until(lambda: service.get(UPLOAD).status == 200, 30, "the first upload")
            process.send_signal(number)
            printed, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1 and "Traceback" not in errors
    assert "The run was interrupted after" in printed
    outcomes = rows(tmp_path / "load-report")
    assert outcomes and {row["status"] for row in outcomes} == {"200"}
    assert "The run was interrupted after" in (tmp_path / "load-report" / "report.html").read_text()
    assert len(requests(tmp_path / "load-report")) == len(outcomes)
    assert [service.get(row["target"]).status for row in outcomes] == [404] * len(outcomes)


def test_hostile_requests_are_all_answered_and_refused(load: Load, tmp_path: Path) -> None:
    assert load("hostile", "--errors", "0%", "--rate", "200").exit_code == 0
    statuses = Counter(int(row["status"]) for row in rows(tmp_path / "report"))
    assert statuses[400] > 100 and statuses[404] and max(statuses) < 500


def test_overload_allows_refusals_and_nothing_else(load: Load, tmp_path: Path) -> None:
    assert load("overload", "--errors", "0%").exit_code == 0
    outcomes = rows(tmp_path / "report")
    assert {row["status"] for row in outcomes} <= {"200", "503"}
    hits = sum(row["target"].endswith("w=200") for row in outcomes)
    assert 0.05 < hits / len(outcomes) < 0.4
