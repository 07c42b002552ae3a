"""Words and names that the project does not use any more do not return."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WORDS = """
told, nobody, whoever, whosoever, somebody, anybody, whom, anew, who asks, who is asking, what is asked, asked of,
by the same, let in, knows no, knows nothing, gives way, in the way, for good, by way of, behind the answer, goes on,
comes of it, of ours, of our own, patrol, visitor, manners, reception
"""
"""Words that a term of the field replaces. Upper and lower case are alike."""

NAMES = """
Crew, Entrance, Front, Gate, Grant, Guard, Keeper, Manners, Patience, Patrol, Reach, Reception,
Told, Turns, Visitor, Wish, WriteManners
"""
"""Retired names of classes and constants, also as the last part of a name: `SharedGate`, `WRITE_MANNERS`.

Names in lower case are not among them: `front` is an ordinary word."""

AREAS = {
    "service": ["service/**/*.py"],
    "tools": ["tools/**/*.py"],
    "tests": ["tests/**/*.py"],
    "documents": [
        "*.md",
        "docs/*.md",
        "config/*.toml",
        "pyproject.toml",
        "Dockerfile",
        "docker-compose.yml",
        ".ci/run",
    ],
}

_GAP = r"(?:[ \t]+|[ \t]*\n[ \t#]*)"
"""What separates the words of a phrase: blanks, or the end of a line and the mark of a comment."""
_PHRASES = (phrase.split() for phrase in WORDS.split(","))
_WORDS = re.compile(r"\b(?:" + "|".join(_GAP.join(phrase) for phrase in _PHRASES) + r")\b", re.IGNORECASE)
_RETIRED = {name.strip() for name in NAMES.split(",")}
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def files(area: str) -> list[Path]:
    """Return the files of *area*, without this one."""
    found = {path for pattern in AREAS[area] for path in ROOT.glob(pattern)}
    return sorted(found - {Path(__file__)})


def tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source).readline)


def prose(source: str) -> str:
    """Return the docstrings and comments of Python code on their lines, with blanks for everything else.

    Error texts and other strings are not prose, except the help of a command's option.
    """
    lines = source.splitlines()
    kept = [[" "] * len(line) for line in lines]
    before: list[str] = []  # the tokens of the statement so far
    for token in tokens(source):
        if token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            before = []
        docstring = token.type == tokenize.STRING and (not before or before[-2:] == ["help", "="])
        if docstring or token.type == tokenize.COMMENT:
            (top, left), (bottom, right) = token.start, token.end
            for number in range(top - 1, bottom):
                begin = left if number == top - 1 else 0
                end = right if number == bottom - 1 else len(lines[number])
                kept[number][begin:end] = lines[number][begin:end]
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.STRING):
            before.append(token.string)
    return "\n".join("".join(line) for line in kept)


def retired(name: str) -> bool:
    """Whether an identifier is a retired name, or ends with one."""
    if name.islower():
        return False
    parts = [part.capitalize() for part in _PARTS.findall(name)]
    return bool(_RETIRED & {name.strip("_"), *parts[-1:]})


def gone(path: Path) -> Iterator[str]:
    """Yield a line for each word and name in *path* that the project does not use any more."""
    where, searched = path.relative_to(ROOT), path.read_text("utf-8")
    if path.suffix == ".py":
        for token in tokens(searched):
            name = token.string
            if token.type == tokenize.NAME and (retired(name) or _WORDS.search(" ".join(_PARTS.findall(name)))):
                yield f"{where}:{token.start[0]}: {name}"
        searched = prose(searched)
    for match in _WORDS.finditer(searched):
        yield f"{where}:{searched.count(chr(10), 0, match.start()) + 1}: {' '.join(match[0].split())}"
    if match := _WORDS.search(path.stem.replace("_", " ")):
        yield f"{where}: {match[0]}, in the name of the file"


@pytest.mark.parametrize("area", AREAS)
def test_retired_words_do_not_return(area: str) -> None:
    assert files(area)
    found = [line for path in files(area) for line in gone(path)]
    if found:
        pytest.fail("\n".join([f"{len(found)} retired words:", *found]), pytrace=False)


@pytest.mark.parametrize(
    "source",
    [
        '"""Nobody is here."""\n',
        "x = 1  # what goes\n# on\n",
        "def told(): ...\n",
        "def f(*, for_good): ...\n",
        "class SharedGate: ...\n",
        "WRITE_MANNERS = 1\n",
        'LIMIT = 1\n"""Of our\nown."""\n',
        'option("--url", help="Whom to ask.")\n',
    ],
)
def test_retired_words_are_found_in_names_docstrings_and_comments(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "some.py").write_text(source)
    assert list(gone(tmp_path / "some.py"))


@pytest.mark.parametrize(
    "source",
    ['raise NoPicture(N_("Nobody has it."))\n', "jwt.decode(token, audience=audience)\n", "def investigate(): ...\n"],
)
def test_error_texts_and_terms_of_rfcs_are_not_retired(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "some.py").write_text(source)
    assert not list(gone(tmp_path / "some.py"))
