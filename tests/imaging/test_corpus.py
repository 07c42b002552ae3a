"""Real pictures from public projects, where the corpus lies beside the repository (see its own README)."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest
from PIL import Image

from service.errors import BadParameter, Unrenderable
from service.formats import Fit, Format
from service.imaging.peek import HEAD, peek, wants_whole
from tests.imaging.pictures import rendered

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"
if not CORPUS.is_dir():
    pytest.skip("the corpus of real pictures is not here", allow_module_level=True)

ROWS = list(csv.DictReader((CORPUS / "manifest.tsv").read_text("utf-8").splitlines(), delimiter="\t"))
ORACLE = json.loads((CORPUS / "oracle.json").read_text("utf-8"))
FILES = {row["file"]: row for row in ROWS}
SOUND = [row["file"] for row in ROWS if row["expect"] == "200"]
BROKEN_EXIF_ALONE = {"hostile/wuffs__exif.png"}
"""The manifest wants 4xx; nothing but its EXIF block is broken, and those we ignore, as libvips does."""


@pytest.mark.parametrize("file", FILES)
def test_what_the_manifest_expects(file):
    data = (CORPUS / file).read_bytes()
    expected = "200" if file in BROKEN_EXIF_ALONE else FILES[file]["expect"]
    for kind in ("WEBP", "JPEG"):
        start = time.perf_counter()
        try:
            made = rendered(data, kind, 48)
        except (Unrenderable, BadParameter):
            assert "4xx" in expected
        else:
            assert "200" in expected
            assert made.width == 48
        assert time.perf_counter() - start < 5


def sixteen(file: str) -> bytes:
    """The file at 16x16 on white, as RGB bytes: a PNG rendition, stretched."""
    image = Image.open(io.BytesIO(rendered((CORPUS / file).read_bytes(), "PNG", 16, 16, Fit.FILL).data)).convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white.tobytes()


def apart(one: bytes, other: bytes) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


@pytest.mark.parametrize("file", [file for file, said in ORACLE.items() if said["use"] == "strict"])
def test_a_second_decoder_sees_the_same_picture(file):
    assert apart(sixteen(file), bytes.fromhex(ORACLE[file]["rgb16"])) <= 16


@pytest.mark.parametrize("file", [file for file, said in ORACLE.items() if said["use"] == "trap"])
def test_where_a_naive_conversion_goes_wrong_ours_does_not(file):
    ours = sixteen(file)
    naive = bytes(ORACLE[file]["naive_mean"]) * 256
    assert apart(ours, bytes.fromhex(ORACLE[file]["rgb16"])) < apart(ours, naive)


@pytest.mark.parametrize("file", SOUND)
@pytest.mark.filterwarnings("ignore")
def test_peek_agrees_with_pillow(file):
    data = (CORPUS / file).read_bytes()
    facts = peek(data if wants_whole(data[:HEAD]) else data[:HEAD])
    image = Image.open(io.BytesIO(data))
    assert facts.format is Format[{"MPO": "JPEG"}.get(image.format, image.format)]
    assert facts.alpha == image.has_transparency_data


@pytest.mark.parametrize("start", sorted(file for file in FILES if file.endswith("_1.jpg") and "exifori" in file))
def test_all_eight_ways_up_give_the_same_picture(start):
    upright = sixteen(start)
    for turn in range(2, 9):
        other = start.replace("_1.jpg", f"_{turn}.jpg")
        if other in FILES:
            assert apart(upright, sixteen(other)) < 8, other
