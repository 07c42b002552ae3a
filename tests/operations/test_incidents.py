"""`python -m tools.incidents`: what it draws is on the dashboard, and in the runbook."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.operations.running import NEEDS_PROC
from tests.operations.test_alerts import ALERTS, ROOT, needs_promtool
from tools.incidents import load, recording
from tools.incidents.dashboard import panels
from tools.incidents.picture import FORMATS, draw
from tools.incidents.prometheus import Line
from tools.incidents.recording import AFTER, BEFORE, DURING, INCIDENTS, Recording, record

TIMES = [float(at) for at in range(-BEFORE, DURING + AFTER)]
LARGEST = 150_000
"""Bytes of a picture in the repository."""
OPERATIONS, RUNBOOK = ((ROOT / "docs" / name).read_text("utf-8") for name in ("operations.md", "runbook.md"))


def section(what: str) -> str:
    """Return the text about an incident."""
    return OPERATIONS.partition("## Three incidents")[2].partition(f"### {what}")[2].partition("\n##")[0]


@pytest.mark.parametrize("name", INCIDENTS)
def test_incident_is_shown_by_panels_that_the_dashboard_has(name: str) -> None:
    shown = INCIDENTS[name].shown
    assert 4 <= len(shown) <= 8
    assert set(shown) <= set(panels())


@pytest.mark.parametrize("name", INCIDENTS)
def test_incident_has_its_picture_its_alerts_and_its_row_of_the_runbook(name: str) -> None:
    text = section(INCIDENTS[name].what)
    assert f"(incident-{name}.png)" in text
    assert set(re.findall(r"ContactImage[A-Z]\w+", text)) & set(ALERTS)
    row = re.findall(r'(?m)^- \*\*Row of the runbook\*\*: "(.+)"\.$', text)
    assert [RUNBOOK.count(f"\n| {each}") for each in row] == [1]
    file = ROOT / "docs" / f"incident-{name}.png"
    assert file.stat().st_size < LARGEST


def test_every_unit_of_the_dashboard_can_be_written() -> None:
    assert {panel.unit for panel in panels().values()} <= set(FORMATS)


def test_panels_and_alerts_are_drawn(tmp_path: Path) -> None:
    line = Line({}, TIMES, [max(0.0, at) for at in TIMES])
    late = Line({"alertname": "ContactImageCacheDown", "alertstate": "firing"}, TIMES[-30:], [1.0] * 30)
    shown = {title: [("some", line), ("none", Line({}, [], []))] for title in panels()}
    draw(tmp_path / "some.png", "Some", Recording(dict([*shown.items()][:8]), [late]))
    draw(tmp_path / "none.png", "None", Recording(dict([*shown.items()][:4]), []))
    with Image.open(tmp_path / "some.png") as some, Image.open(tmp_path / "none.png") as none:
        assert some.width == none.width
        assert some.height > 1.5 * none.height


@needs_promtool
@NEEDS_PROC
def test_frozen_redis_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_CONTACTS", range(1, 31))
    monkeypatch.setattr(load, "_PEAK_SECONDS", 1)
    for name, seconds in {"_LEAD": 1, "BEFORE": 3, "DURING": 12, "AFTER": 3}.items():
        monkeypatch.setattr(recording, name, seconds)
    panel = "Cache down, breakers open"
    found = record(replace(INCIDENTS["redis"], shown=(panel,)))
    (down,) = (line for legend, line in found.panels[panel] if legend == "cache down")
    assert down.values[0] == 0
    assert max(down.values) == 1
    assert ("ContactImageCacheDown", "pending") in {
        (line.labels["alertname"], line.labels["alertstate"]) for line in found.alerts
    }
