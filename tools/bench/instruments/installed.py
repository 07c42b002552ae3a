"""Installation of peers and measuring tools below `.bench/` in this checkout, by the benchmark that needs them.

They are no dependencies of the service or of the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.bench.instruments.processes import ROOT

_FOLDER = ROOT / ".bench"
_TIMEOUT = 600.0
"""Seconds that an installation may take."""


class NotInstalled(SystemExit):
    """A program is not there and cannot be installed. The message says which one."""


def python_packages(name: str, *requirements: str) -> Path:
    """Return the folder `bin` of a virtual environment of that *name* with these *requirements*."""
    folder = _FOLDER / name
    python = folder / "bin" / "python"
    if _wanted(folder, requirements):
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements])
        _done(folder, requirements)
    return python.parent


def importable(name: str, *requirements: str) -> None:
    """Add these *requirements* to the end of the import path."""
    lib = python_packages(name, *requirements).parent / "lib"
    sys.path.extend(str(each) for each in lib.glob("python*/site-packages"))


def node_packages(name: str, *requirements: str) -> Path:
    """Return a folder of that *name* in which `node` finds these packages."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NotInstalled(f"{name} needs node and npm on the path")
    folder = _FOLDER / name
    if _wanted(folder, requirements):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}')
        _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *requirements])
        _done(folder, requirements)
    return folder


def debian_packages(name: str, *packages: str) -> Path:
    """Return a folder of that *name* into which these packages of Debian are unpacked. None of them is installed."""
    if shutil.which("apt-get") is None:
        raise NotInstalled(f"{name} needs apt-get, or {packages[0]} on this machine")
    folder = _FOLDER / name
    if _wanted(folder, packages):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run(["apt-get", "-qq", "download", *packages], folder)
        for file in folder.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(file), str(folder)])
        _done(folder, packages)
    return folder


def executable(name: str, *packages: str) -> None:
    """Have the program *name* found on the path: the installed one, or that of these packages of Debian."""
    if shutil.which(name) is None:
        folder = debian_packages(name, *packages)
        for variable, pattern in (("PATH", "usr/bin"), ("LD_LIBRARY_PATH", "usr/lib/*-linux-*")):
            places = [str(each) for each in folder.glob(pattern)]
            os.environ[variable] = os.pathsep.join([*places, *filter(None, [os.environ.get(variable)])])


def _wanted(folder: Path, requirements: tuple[str, ...]) -> bool:
    mark = folder / "installed.txt"
    return not mark.exists() or mark.read_text() != "\n".join(requirements)


def _done(folder: Path, requirements: tuple[str, ...]) -> None:
    """Mark *folder* as complete. An installation without the mark is repeated."""
    (folder / "installed.txt").write_text("\n".join(requirements))


def _run(command: list[str], folder: Path = ROOT) -> None:
    print("+", *(each.removeprefix(f"{ROOT}/") for each in command), file=sys.stderr)
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=_TIMEOUT, stdout=sys.stderr)
    except (subprocess.SubprocessError, OSError) as error:
        raise NotInstalled(f"cannot install what this benchmark compares with (is there a network?): {error}") from None
