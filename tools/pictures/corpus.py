"""The corpus: real pictures in a folder next to the repository, which may be missing. They are not copied."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

BROKEN_METADATA = frozenset({"hostile/wuffs__exif.png", "hostile/pillow__png_decompression_dos.png"})
"""Files that are rendered although the manifest expects 4xx: their broken EXIF and their texts of 2 MB are ignored."""


@cache
def manifest() -> dict[str, dict[str, str]]:
    """Return the row of every file, by its name. `expect` is the status of its rendition."""
    rows = list(csv.DictReader((CORPUS / "manifest.tsv").read_text("utf-8").splitlines(), delimiter="\t"))
    for row in rows:
        if row["file"] in BROKEN_METADATA:
            row["expect"] = "200"
    return {row["file"]: row for row in rows}


@cache
def oracle() -> dict[str, dict[str, Any]]:
    """Return the facts of a second decoder about every file, by its name."""
    facts: dict[str, dict[str, Any]] = json.loads((CORPUS / "oracle.json").read_text("utf-8"))
    return facts


def read(file: str) -> bytes:
    """Return the bytes of one file."""
    return (CORPUS / file).read_bytes()


def photographs() -> list[str]:
    """Return the names of the colour photographs of 0.3 megapixels or more."""
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
