"""Real pictures, where the corpus is installed: they render or are refused as expected, without errors 5xx."""

from __future__ import annotations

import os
from pathlib import Path

from service.stores.names import SUFFIXES
from tests.conftest import Serve, skip_without_corpus
from tests.pixels import shown
from tests.web.conftest import Get
from tools.pictures.corpus import CORPUS, manifest

skip_without_corpus()


async def test_every_picture_gives_the_status_in_the_manifest(serve: Serve, get: Get, images: Path) -> None:
    for contact, file in enumerate(manifest(), 1):
        os.symlink(CORPUS / file, images / f"{contact}.{SUFFIXES[contact % len(SUFFIXES)]}")
    client = await serve(render={"workers": 2}, images={"follow_links": "all"})
    wrong = []
    for contact, (file, row) in enumerate(manifest().items(), 1):
        response = await get(client, contact, "?w=64&type=png")
        if not as_expected(response.status, row["expect"]):
            wrong.append((file, row["expect"], response.status))
        if response.status == 200:
            assert shown(await response.read()).width == 64
    assert wrong == []


def as_expected(status: int, expect: str) -> bool:
    return status == 200 if expect == "200" else 400 <= status < 500 or (expect == "200|4xx" and status == 200)
