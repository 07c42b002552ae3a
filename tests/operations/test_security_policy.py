"""The tests that SECURITY.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "SECURITY.md").read_text("utf-8").splitlines() if line.startswith("| ")][2:]


def test_there_is_a_table_of_threats() -> None:
    assert len(ROWS) >= 25


@pytest.mark.parametrize("row", ROWS, ids=[row[2:40].rstrip() for row in ROWS])
def test_every_threat_has_a_defence_and_a_test_that_exists(row: str) -> None:
    threat, defence, tests = (cell.strip() for cell in row.strip("|").split(" | "))
    assert threat and defence
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)(?:::(\w+))?`", tests)
    assert len(named) == tests.count(".py") > 0
    for file, name in named:
        text = (ROOT / "tests" / file).read_text("utf-8")
        assert not name or re.search(rf"^ *(?:async def|def|class) {name}\b", text, re.MULTILINE), (file, name)
