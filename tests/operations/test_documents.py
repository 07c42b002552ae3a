"""The documents name what exists: files, settings, log events, metrics, sections. The README is short."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from service.settings.secret_files import secret_settings
from service.web.metrics import Metrics
from tools import settings as settings_page

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
MONITORING, RUNBOOK = ROOT / "docs" / "monitoring.md", ROOT / "docs" / "runbook.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
TOPS = ("service", "tools", "tests")
CODE = [path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))]
SETTINGS = tomllib.loads((ROOT / "config" / "default.toml").read_text("utf-8"))
SOURCE = "\n".join(path.read_text("utf-8") for path in CODE if path.is_relative_to(ROOT / "service"))
FOLDERS = {"config", "docs", *TOPS, *(path.relative_to(ROOT).parts[1] for path in CODE if path.parents[1] != ROOT)}
PATH = re.compile(
    rf"(?:{'|'.join(sorted(FOLDERS))}|\.ci)/[\w./{{}}*-]*|[\w.-]+\.(?:baseline|lock|md|py|toml|txt|ya?ml)"
)
"""The form of a path in backticks. The changelog is not searched for them: it names what its releases had."""
EVENT = r'"([a-z]+\.[a-z_]+)"'
SECTIONS = set(re.findall(r"(?m)^## (\d+)\.", (ROOT / "docs" / "contract.md").read_text("utf-8")))
"""Numbers of the contract's sections."""

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def prose(document: Path) -> str:
    """Return the text without its code blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", document.read_text("utf-8"))


def quoted(document: Path) -> list[str]:
    """Return the texts in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(document))


def is_test(path: Path) -> bool:
    return path.name.startswith("test_") and path.is_relative_to(ROOT / "tests")


def named_sections(text: str) -> set[str]:
    """Return the numbers of the contract's sections that *text* refers to."""
    lists = re.findall(r"contract(?:\.md)?`*, sections? ((?:\d+|, | and )+)", text)
    return {number for numbers in lists for number in re.findall(r"\d+", numbers)}


def events() -> set[str]:
    """Return the log events above DEBUG, those of gunicorn's messages included."""
    logged = re.findall(rf"\b(?:log\.(?:info|warning|error|exception)|tell)\(\s*{EVENT}", SOURCE)
    translated = re.findall(rf": \({EVENT},", SOURCE)
    return {*logged, *translated, "request.answered", "request.refused", "request.refusals", "server.arbiter"}


def metrics() -> set[str]:
    return set(re.findall(r"(?m)^# TYPE (\w+) ", Metrics().text().decode()))


def exists(path: str, document: Path) -> bool:
    """Return whether *path*, as *document* writes it, is in the repository.

    The path of a module may begin below `service/`, `tools/` or `tests/`, and may lack its suffix. A module may be
    named by its file name only. What follows a `{` or `*` is not checked.
    """
    path = re.sub(r"[^/]*[{*].*", "", path)
    above = (ROOT, *(ROOT / top for top in TOPS), document.parent)
    if any((folder / name).exists() for folder in above for name in (path, f"{path}.py")):
        return True
    return "/" not in path and path in {module.name for module in CODE}


def tree(document: Path) -> list[str]:
    """Return the paths in the document's tree of folders: a block of code that begins with `service/`."""
    block = re.search(r"(?ms)^```\n(service/\n.*?)^```$", document.read_text("utf-8"))
    assert block
    paths, above = [], [""]
    for line in block[1].splitlines():
        match = re.match(r"( *)((?:[\w.]+/?)(?:, +[\w.]+/?|  [\w.]+/(?=  |$))*)", line)
        if match and (depth := len(match[1]) // 2) < len(above):
            names = re.findall(r"[\w.]+/?", match[2])
            paths += [above[depth] + name for name in names]
            above[depth + 1 :] = [above[depth] + names[-1]]
    return paths


def test_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 200
    assert [line for line in README.read_text("utf-8").splitlines() if len(line) > 140] == []


def test_every_folder_of_the_tree_exists() -> None:
    paths = tree(ROOT / "docs" / "architecture.md")
    folders = {f"service/{path.name}/" for path in (ROOT / "service").iterdir() if (path / "__init__.py").exists()}
    assert folders <= set(paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose(document))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_no_long_sentence_is_there_twice(document: Path) -> None:
    """A merge that takes both sides of a changed paragraph leaves it twice."""
    paragraphs = re.sub(r"(?m)^\|.*", "", prose(document)).split()
    counted = Counter(re.split(r"(?<=\.) ", " ".join(paragraphs)))
    assert [sentence for sentence, count in counted.items() if count > 1 and len(sentence) > 40] == []


@each_document
def test_every_path_exists(document: Path) -> None:
    assert [text for text in quoted(document) if PATH.fullmatch(text) and not exists(text, document)] == []


@each_document
def test_every_test_exists(document: Path) -> None:
    """Names without a path, of functions and of modules. `test_security_policy` checks those with a path."""
    functions = {name for path in CODE for name in re.findall(r"\bdef (test_\w+)", path.read_text("utf-8"))}
    known = functions | {path.stem for path in CODE}
    assert [text for text in quoted(document) if re.fullmatch(r"test_\w+", text) and text not in known] == []


@each_document
def test_every_row_of_a_table_has_the_cells_of_its_heading(document: Path) -> None:
    width, wrong = 0, []
    for line in prose(document).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        width = width if width and cells else cells  # the first row of a table sets it
        wrong += [line] if cells != width else []
    assert wrong == []


@each_document
def test_every_program_exists(document: Path) -> None:
    modules = re.findall(r"python -m ((?:tests|tools)(?:\.\w+)+)", document.read_text("utf-8"))
    paths = {module: ROOT / module.replace(".", "/") for module in modules}
    assert [name for name, path in paths.items() if not (path.is_dir() or path.with_suffix(".py").exists())] == []


@each_document
def test_every_setting_and_event_exists(document: Path) -> None:
    sections = "|".join(SETTINGS)
    named = [re.match(rf"({sections})\.([a-z_]+)(…?)(?!\w|\.|\()", text) for text in quoted(document)]
    known = {f"{section}.{name}" for section, names in SETTINGS.items() for name in names} | events()
    known |= {"http.route", "server.address"}  # attributes of OpenTelemetry
    modules = {path.name for path in CODE}
    for match in filter(None, named):
        name = f"{match[1]}.{match[2]}"
        assert name in known | modules or (match[3] and any(each.startswith(name) for each in known)), name


@each_document
def test_every_variable_is_a_setting(document: Path) -> None:
    variables = re.findall(r"CONTACT_IMAGE_([A-Z]+)__([A-Z_]+)", document.read_text("utf-8"))
    known = {(section, name) for section, names in SETTINGS.items() for name in names}
    known |= {(section, f"{name}_file") for section, name in secret_settings()}
    assert [each for each in variables if tuple(part.lower() for part in each) not in known] == []


@each_document
def test_every_metric_exists(document: Path) -> None:
    named = re.findall(r"\bcontact_image_\w+", document.read_text("utf-8"))
    assert [name for name in named if name not in metrics()] == []


def test_operators_find_every_metric_and_every_event() -> None:
    monitoring = MONITORING.read_text("utf-8")
    assert [name for name in sorted(metrics()) if f"`{name}`" not in monitoring] == []
    assert [name for name in sorted(events()) if f"`{name}`" not in monitoring] == []


def test_every_row_of_the_runbook_names_a_symptom_what_to_look_at_and_what_to_do() -> None:
    rows = [line for line in RUNBOOK.read_text("utf-8").splitlines() if re.match(r"\| (?!symptom|---)", line)]
    assert len(rows) >= 15
    assert [row for row in rows if len(row.strip("| ").split(" | ")) != 3] == []


def test_settings_page_is_made_from_the_defaults() -> None:
    page = settings_page.page(settings_page.DEFAULTS.read_text("utf-8"))
    assert settings_page.PAGE.read_text("utf-8") == page, "run `python -m tools.settings`"


def test_settings_page_joins_the_lines_of_a_comment() -> None:
    toml = (
        "# Not a comment of a setting.\n"
        "[cache]     # where *entries* are\n"
        "            # kept\n"
        'url = "#"   # `a|b` or empty\n'
        "# Not one either.\n"
        "sizes = [   # in pixels,\n"
        "    1, 2,\n"
        "]           # both sides\n"
        "            # of them\n"
        "on = false\n"
        "            # not of `on`, which has none\n"
    )
    page = settings_page.page(toml)
    assert "\nwhere \\*entries\\* are kept\n" in page
    assert "| `cache.url` | `#` | `CONTACT_IMAGE_CACHE__URL` | `a\\|b` or empty |\n" in page
    assert "| `cache.sizes` | `1`, `2` | `CONTACT_IMAGE_CACHE__SIZES` | in pixels, both sides of them |\n" in page
    assert "| `cache.on` | `false` | `CONTACT_IMAGE_CACHE__ON` |  |\n" in page


def test_code_refers_only_to_documents_and_sections_that_exist() -> None:
    missing = []
    for path in CODE:
        text = path.read_text("utf-8")
        if path == Path(__file__):
            continue
        where = path.relative_to(ROOT)
        missing += [f"{where}: {name}" for name in re.findall(r"\bdocs/\w[\w.-]*", text) if not (ROOT / name).exists()]
        missing += [f"{where}: section {number}" for number in sorted(named_sections(text) - SECTIONS)]
        # A reference is by number: a test cannot find a section by its title.
        missing += [f"{where}: {match}" for match in re.findall(r"contract\.md`*, (?!sections? \d).*", text)]
    assert missing == []


def test_every_section_of_the_contract_is_named_by_a_test_of_it() -> None:
    docstrings = [ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "" for path in CODE if is_test(path)]
    assert {str(number) for number in range(1, 8)} == SECTIONS
    assert set().union(*map(named_sections, docstrings)) == SECTIONS
