"""The alerts under `config/prometheus`: each fires, is quiet when it should be, and has its row in the runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.web.metrics import Metrics

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "runbook.md"
PROMETHEUS = ROOT / "config" / "prometheus"
CASES = Path(__file__).with_name("alerts_test.yml")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: it is in Debian's package `prometheus`"
)


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def rules() -> list[dict[str, Any]]:
    (group,) = loaded(PROMETHEUS / "alerts.yml")["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


ALERTS = [rule["alert"] for rule in rules()]


def series_names() -> set[str]:
    """Return the names of all series that the service can have."""
    found: set[str] = set()
    for name, kind in re.findall(r"(?m)^# TYPE (\w+) (\w+)$", Metrics().text().decode()):
        found |= {f"{name}_{each}" for each in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return found


def promtool(*arguments: str | Path, given: str = "") -> None:
    """Run promtool with *given* as its standard input."""
    done = subprocess.run(
        ["promtool", *arguments], input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_accepts_the_configuration() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


@needs_promtool
def test_prometheus_finds_no_fault_in_the_names_and_units_of_the_metrics() -> None:
    metrics = Metrics()
    metrics.request("image", "GET", 200, 0.1, 5)
    metrics.flush()
    promtool("check", "metrics", given=metrics.text().decode())


@needs_promtool
def test_alerts_fire_and_are_quiet_as_their_cases_say() -> None:
    promtool("test", "rules", CASES)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_firing_and_a_quiet_case(alert: str) -> None:
    cases = [case for test in loaded(CASES)["tests"] for case in test["alert_rule_test"] if case["alertname"] == alert]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_one_row_in_the_runbook(alert: str) -> None:
    runbook = RUNBOOK.read_text("utf-8")
    assert len(re.findall(rf"(?m)^\| `{alert}`", runbook)) == 1


def test_alerts_are_those_of_the_runbook() -> None:
    runbook = RUNBOOK.read_text("utf-8")
    assert {"ContactImageDown", "ContactImageUnready"} < set(ALERTS)
    assert set(re.findall(r"\bContactImage[A-Z]\w+", runbook)) == set(ALERTS)


def test_alerts_use_only_series_that_the_service_has() -> None:
    named = {name for rule in rules() for name in re.findall(r"\bcontact_image_\w+", rule["expr"])}
    assert named <= series_names()


def test_every_alert_says_how_urgent_it_is_and_what_happened() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
