"""`python -m tools.lock` writes constraints.txt and requirements.lock from pyproject.toml, with uv.

Needs the extra `lock`. Pins that still satisfy pyproject.toml stay as they are; `python -m tools.lock --upgrade` takes
the newest releases instead, `--upgrade-package NAME` those of one package.

Both files hold for Python 3.11 and later on every platform. constraints.txt has every package of every extra and of the
build, without hashes. requirements.lock has what the service and its build need, with the hashes of the files of the
public index, of which only wheels are considered. Its pins are those of constraints.txt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONSTRAINTS, LOCK = "constraints.txt", "requirements.lock"
LOCKED_EXTRAS = ("heic",)
"""The extras that requirements.lock includes: those of the image that the Dockerfile builds."""


def project() -> dict[str, Any]:
    """Return the content of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def compiled(target: str, build: list[str], *arguments: str) -> None:
    """Write *target* with what pyproject.toml and *build*, the requirements of the build, need."""
    # Without the settings of uv every machine writes the same files. uv does not read the settings of pip.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "-", "--output-file", target]
    command += ["--universal", "--python-version", "3.11", "--no-config", "--no-emit-index-url", "--no-annotate"]
    command += ["--custom-compile-command", "python -m tools.lock", "--quiet", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, input="\n".join(build), text=True, check=True)


def main() -> None:
    """Write both files."""
    build = project()["build-system"]["requires"]
    extras = [part for name in LOCKED_EXTRAS for part in ("--extra", name)]
    compiled(CONSTRAINTS, build, "--all-extras", *sys.argv[1:])
    # Without the old file only constraints.txt decides the pins.
    (ROOT / LOCK).unlink(missing_ok=True)
    compiled(LOCK, build, *extras, "--constraints", CONSTRAINTS, "--generate-hashes", "--only-binary", ":all:")


if __name__ == "__main__":
    main()
