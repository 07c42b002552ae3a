"""The documents name what is there: files, settings, events of the log, metrics. The README is short."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from service.web.metrics import Metrics

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = tomllib.loads((ROOT / "config" / "default.toml").read_text("utf-8"))
SOURCE = "\n".join(each.read_text("utf-8") for each in sorted((ROOT / "service").rglob("*.py")))
EVENT = r'"([a-z]+\.[a-z_]+)"'

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def prose(document: Path) -> str:
    """The text without its code blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", document.read_text("utf-8"))


def quoted(document: Path) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(document))


def events() -> set[str]:
    """The log's events above DEBUG: as they are logged, and as gunicorn's messages become them."""
    logged = re.findall(rf"\b(?:log\.(?:info|warning|error|exception)|tell)\(\s*{EVENT}", SOURCE)
    translated = re.findall(rf": \({EVENT},", SOURCE)
    return {*logged, *translated, "server.arbiter"}


def metrics() -> set[str]:
    return set(re.findall(r"(?m)^# TYPE (\w+) ", Metrics().text().decode()))


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 220
    assert [line for line in prose(README).splitlines() if len(line) > 140] == []


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose(document))
    local = [each for each in targets if "://" not in each]
    assert [each for each in local if not (document.parent / each).exists()] == []


@each_document
def test_every_path_is_there(document: Path) -> None:
    paths = [each for each in quoted(document) if re.fullmatch(r"(?:service|docs|tests|config)/[\w./{}*-]*", each)]
    assert [each for each in paths if not (ROOT / re.sub(r"[^/]*[{*].*", "", each)).exists()] == []


@each_document
def test_every_module_that_is_run_is_there(document: Path) -> None:
    modules = re.findall(r"python -m (tests(?:\.\w+)+)", document.read_text("utf-8"))
    paths = {each: ROOT / each.replace(".", "/") for each in modules}
    assert [each for each, path in paths.items() if not (path.is_dir() or path.with_suffix(".py").exists())] == []


@each_document
def test_every_setting_and_event_is_there(document: Path) -> None:
    sections = "|".join(SETTINGS)
    named = [re.match(rf"({sections})\.([a-z_]+)(…?)(?!\w|\.|\()", each) for each in quoted(document)]
    known = {f"{section}.{name}" for section, names in SETTINGS.items() for name in names} | events()
    modules = {f"{each.stem}.py" for each in (ROOT / "service").rglob("*.py")}
    for match in filter(None, named):
        name = f"{match[1]}.{match[2]}"
        assert name in known | modules or (match[3] and any(each.startswith(name) for each in known)), name


@each_document
def test_every_variable_is_a_setting(document: Path) -> None:
    variables = re.findall(r"CONTACT_IMAGE_([A-Z]+)__([A-Z_]+)", document.read_text("utf-8"))
    assert [each for each in variables if each[1].lower() not in SETTINGS[each[0].lower()]] == []


@each_document
def test_every_metric_is_there(document: Path) -> None:
    named = re.findall(r"\bcontact_image_\w+", document.read_text("utf-8"))
    assert [each for each in named if each not in metrics()] == []


def test_operators_find_every_metric_and_every_event() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert [each for each in sorted(metrics()) if f"`{each}`" not in operations] == []
    assert [each for each in sorted(events()) if f"`{each}`" not in operations] == []
