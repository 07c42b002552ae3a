"""Fetch the files of npm packages that are in the repository: Swagger UI for `/docs`, axe-core for a test. Needs npm.

To renew one, change its version here, and run `python -m tools.assets`. Each folder has the licence, and `SHA256SUMS`,
with which a test compares the files.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Asset:
    """The *files* of the npm *package* that are kept in *folder*."""

    package: str
    version: str
    folder: Path
    files: tuple[str, ...]


ASSETS = (
    Asset(
        "swagger-ui-dist",
        "5.35.0",
        ROOT / "service" / "web" / "static" / "swagger",
        ("swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css", "LICENSE", "NOTICE"),
    ),
    Asset(
        "axe-core",
        "4.14.1",
        ROOT / "tests" / "web" / "axe",
        ("axe.min.js", "LICENSE", "LICENSE-3RD-PARTY.txt"),
    ),
)


def sums(folder: Path) -> str:
    """Return the SHA-256 of each file in *folder*, as `sha256sum` writes them."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def fetch(asset: Asset) -> None:
    """Replace the files of *asset*. npm compares the package with the registry's digest."""
    with tempfile.TemporaryDirectory() as name:
        command = ["npm", "pack", "--json", f"{asset.package}@{asset.version}"]
        done = subprocess.run(command, cwd=name, check=True, capture_output=True, text=True)
        asset.folder.mkdir(exist_ok=True)
        with tarfile.open(Path(name) / json.loads(done.stdout)[0]["filename"]) as archive:
            for file in asset.files:
                content = archive.extractfile(f"package/{file}")
                assert content is not None
                (asset.folder / file).write_bytes(content.read())
    (asset.folder / SUMS).write_text(sums(asset.folder), "utf-8")


if __name__ == "__main__":
    for each in ASSETS:
        fetch(each)
