"""Real pictures, where they are at hand: what must render does, and nothing ever fails in a way of ours or hangs."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from service.stores.directory import SUFFIXES
from tests.conftest import Serve
from tests.pictures_in_code import decode
from tests.web.conftest import Get

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

if not CORPUS.is_dir():
    pytest.skip("the corpus of real pictures is not at hand", allow_module_level=True)

BROKEN_EXIF_ALONE = "hostile/wuffs__exif.png"
"""Marked 4xx, but a sound picture: a broken EXIF block is ignored, and is not fatal."""


def manifest() -> list[dict[str, str]]:
    with (CORPUS / "manifest.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


async def test_every_picture_gives_what_the_manifest_says(serve: Serve, get: Get, images: Path) -> None:
    rows = manifest()
    for contact, row in enumerate(rows, 1):
        os.symlink(CORPUS / row["file"], images / f"{contact}.{SUFFIXES[contact % len(SUFFIXES)]}")
    client = await serve(render={"workers": 2})
    wrong = []
    for contact, row in enumerate(rows, 1):
        response = await get(client, contact, "?w=64&type=png")
        if not as_expected(response.status, row["expect"]) and row["file"] != BROKEN_EXIF_ALONE:
            wrong.append((row["file"], row["expect"], response.status))
        if response.status == 200:
            assert decode(await response.read()).width == 64
        elif response.status >= 500:
            wrong.append((row["file"], row["expect"], response.status))
    assert wrong == []


def as_expected(status: int, expect: str) -> bool:
    return status == 200 if expect == "200" else 400 <= status < 500 or (expect == "200|4xx" and status == 200)
