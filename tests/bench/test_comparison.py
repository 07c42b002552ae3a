"""The tables and the picture of `compare`, made of given figures. No program is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from service.load.figures import Effort, Figures, figures
from service.load.open_loop import Outcome
from service.load.scenarios import SCENARIOS
from tools.bench.comparison.plot import Bars, draw
from tools.bench.comparison.tables import Row, advantages, medians, replaced, spreads, weaknesses

_PROGRAMS = ["ours", "fast", "bare"]
_RATE = Row("pictures, a second", {"ours": [100.0, 120.0, 110.0], "fast": [200.0, 240.0, 330.0], "bare": [50.0] * 3})
_LATENCY = Row("99 of 100 within, ms", {"ours": [2.0], "fast": [2.05], "bare": "too slow"}, "less", 1)
_ACCEPT = Row("`Accept`", {"ours": "yes", "fast": "no", "bare": "no"}, "")
_ROWS = [_RATE, _LATENCY, _ACCEPT]


def _cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_medians_mark_the_best_program_of_each_job() -> None:
    assert _cells(medians(_ROWS, _PROGRAMS))[2:] == [
        ["pictures, a second", "110", "**240**", "50"],
        ["99 of 100 within, ms", "**2.0**", "**2.0**", "too slow"],  # they differ by noise
        ["`Accept`", "yes", "no", "no"],
    ]


def test_spreads_have_medians_minima_and_maxima() -> None:
    rate, latency, accept = _cells(spreads(_ROWS, _PROGRAMS))[2:]
    assert rate == ["pictures, a second", "110 [100–120]", "240 [200–330]", "50 [50–50]"]
    assert latency[-1] == "too slow"
    assert accept[1:] == ["yes", "no", "no"]


def test_advantages_compare_run_by_run_in_the_direction_that_is_better() -> None:
    rate, latency = _cells(advantages(_ROWS, "ours", ["fast", "bare"]))[2:]
    assert rate[1:] == ["0.50 [0.33–0.50]", "2.20 [2.00–2.40]"]
    assert latency[1:] == ["1.02 [1.02–1.02]", ""]


def test_peers_that_are_better_are_named_with_their_advantage() -> None:
    text = weaknesses(_ROWS, "ours", ["fast", "bare"])
    assert "pictures, a second: fast, 2.0." in text
    assert "within" not in text  # 2.0 and 2.05 differ by noise
    assert "bare" not in text


def test_no_better_peer_is_said_in_words() -> None:
    assert "nowhere" in weaknesses(_ROWS, "fast", ["ours", "bare"])


def test_processor_time_below_the_clock_is_not_compared() -> None:
    row = Row("processor time", {"ours": [0.0, 1.0], "fast": [1.0, 1.0]}, "less")
    assert row.advantage("ours", "fast") == []
    assert "nowhere" in weaknesses([row], "ours", ["fast"])


def test_text_between_marks_is_replaced_again_and_again() -> None:
    document = "before\n<!-- compare -->\nold\n<!-- /compare -->\nafter\n"
    once = replaced(document, "| a |\n\\1")
    assert once == "before\n<!-- compare -->\n\n| a |\n\\1\n\n<!-- /compare -->\nafter\n"
    assert replaced(once, "| a |\n\\1") == once


def test_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="0 parts"):
        replaced("nothing", "new")


@pytest.mark.parametrize("name", ["README.md", "docs/measurements.md"])
def test_documents_have_the_marks(name: str) -> None:
    document = (Path(__file__).parents[2] / name).read_text("utf-8")
    assert "new" in replaced(document, "new")


def _load(milliseconds: float) -> Figures:
    outcomes = [Outcome(n, n / 50, 0.0, milliseconds / 1000 * (1 + n % 20), 200 if n % 10 else 503) for n in range(200)]
    return figures(outcomes, SCENARIOS["hits"], 50, 4, Effort(0.1, 4.0))


@pytest.mark.parametrize("loads", [{"ours": _load(1), "fast": _load(30)}, {}], ids=["two programs", "none"])
def test_picture_is_drawn_on_white(loads: dict[str, Figures], tmp_path: Path) -> None:
    file = tmp_path / "compare.png"

    draw(file, _PROGRAMS, loads, loads, [Bars("rates", "a second", {"rate": _RATE, "late": _LATENCY})] * 2)

    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert picture.convert("RGBA").getpixel((2, 2)) == (255, 255, 255, 255)
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20
