"""Completion in the shell, as docs/operations.md says to set it up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.operations.running import COMMAND, TIMEOUT

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("contact-image", "w"), {"warm"}),
        (("contact-image", "s"), {"serve", "sign"}),
        (("contact-image", "render", "--en"), {"--enlarge"}),
        (("contact-image", "user", ""), {"add"}),
    ],
)
def test_documented_line_makes_bash_complete(words: tuple[str, ...], completed: set[str]) -> None:
    found = re.search(r"`(eval [^`]*bash_source[^`]*)`", DOCUMENT.read_text("utf-8"))
    assert found
    script = f"""{found[1]} || exit 1
COMP_WORDS=({" ".join(word or "''" for word in words)})
COMP_CWORD={len(words) - 1}
"$(complete -p contact-image | sed -E 's/.*-F ([^ ]+) .*/\\1/')" contact-image
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    path = f"{Path(COMMAND[0]).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert set(done.stdout.split()) == completed
