"""The real pictures that lie beside the repository, where they do (see their own README). Read, never copied."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"

BROKEN_BESIDE_THE_PIXELS = frozenset({"hostile/wuffs__exif.png", "hostile/pillow__png_decompression_dos.png"})
"""The manifest wants 4xx. The first has a broken EXIF block, the second three texts of 2 MB; both are passed over."""


def skip_without_corpus() -> None:
    """Leave out the test module that says this at its head, where there is no corpus."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus of real pictures is not here", allow_module_level=True)


@cache
def manifest() -> dict[str, dict[str, str]]:
    """What is said of each file, by its name; `expect` is what its rendition must give."""
    rows = list(csv.DictReader((CORPUS / "manifest.tsv").read_text("utf-8").splitlines(), delimiter="\t"))
    for row in rows:
        if row["file"] in BROKEN_BESIDE_THE_PIXELS:
            row["expect"] = "200"
    return {row["file"]: row for row in rows}


@cache
def oracle() -> dict[str, dict[str, Any]]:
    """What a second decoder makes of a file, by its name."""
    told: dict[str, dict[str, Any]] = json.loads((CORPUS / "oracle.json").read_text("utf-8"))
    return told


def read(file: str) -> bytes:
    """The bytes of one."""
    return (CORPUS / file).read_bytes()


def photographs() -> list[str]:
    """The names of its colour photographs of 0.3 megapixels or more."""
    return [
        file
        for file, row in manifest().items()
        if row["format"] in ("JPEG", "PNG") and row["mode"] == "RGB" and row["expect"] == "200"
        if "Flag" not in file and file.startswith(("valid", "exif/exifori", "exif/exifs"))
        if _pixels(row["size_px"]) >= 300_000
    ]


def _pixels(size: str) -> int:
    width, _, height = size.partition("x")
    return int(width) * int(height or 0)
