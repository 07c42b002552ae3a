"""Renditions of the corpus, real pictures from public projects, when it is beside the repository."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image

from service.errors import BadParameter, Unrenderable
from service.formats import Fit, Format
from service.imaging.containers.peek import peek
from service.imaging.containers.window import HEAD_BYTES, Window
from service.imaging.order import Limits
from service.imaging.source import Source
from tests.conftest import skip_without_corpus
from tests.pixels import rendered
from tools.pictures.corpus import BROKEN_METADATA, manifest, oracle, read

skip_without_corpus()
FILES, ORACLE = manifest(), oracle()
SOUND = [file for file, row in FILES.items() if row["expect"] == "200" and file not in BROKEN_METADATA]


@pytest.mark.parametrize("file", FILES)
def test_file_is_rendered_or_refused_as_the_manifest_expects(file):
    data, expected = read(file), FILES[file]["expect"]
    for kind in ("WEBP", "JPEG"):
        start = time.process_time()
        try:
            made = rendered(data, kind, 48)
        except (Unrenderable, BadParameter):
            assert "4xx" in expected
        else:
            assert "200" in expected
            assert made.width == 48
        assert time.process_time() - start < 5


def sixteen(file: str) -> bytes:
    """Return the RGB bytes of a rendition of 16x16 pixels on white."""
    image = Image.open(io.BytesIO(rendered(read(file), "PNG", 16, 16, Fit.FILL).data)).convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white.tobytes()


def apart(one: bytes, other: bytes) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


@pytest.mark.parametrize("file", [file for file, facts in ORACLE.items() if facts["use"] == "strict"])
def test_rendition_has_the_colours_of_a_second_decoder(file):
    assert apart(sixteen(file), bytes.fromhex(ORACLE[file]["rgb16"])) <= 16


@pytest.mark.parametrize("file", [file for file, facts in ORACLE.items() if facts["use"] == "trap"])
def test_rendition_is_closer_to_a_second_decoder_than_a_naive_conversion(file):
    ours = sixteen(file)
    naive = bytes(ORACLE[file]["naive_mean"]) * 256
    assert apart(ours, bytes.fromhex(ORACLE[file]["rgb16"])) < apart(ours, naive)


@pytest.mark.parametrize("file", SOUND)
@pytest.mark.filterwarnings("ignore")
def test_peek_agrees_with_pillow(file):
    data = read(file)
    facts = peek(Window(data[:HEAD_BYTES], len(data), lambda begin, size: data[begin : begin + size]))
    image = Image.open(io.BytesIO(data))
    assert facts.format is Format[{"MPO": "JPEG"}.get(image.format, image.format)]
    assert facts.alpha == image.has_transparency_data


@pytest.mark.parametrize("file", SOUND)
@pytest.mark.filterwarnings("ignore")
def test_header_gives_the_upright_size(file):
    data = read(file)
    assert peek(data).size == Source(data, Limits()).size


@pytest.mark.parametrize("start", sorted(file for file in FILES if file.endswith("_1.jpg") and "exifori" in file))
def test_all_orientations_give_the_same_picture(start):
    upright = sixteen(start)
    for turn in range(2, 9):
        other = start.replace("_1.jpg", f"_{turn}.jpg")
        if other in FILES:
            assert apart(upright, sixteen(other)) < 8, other


def test_arithmetic_jpeg_longer_than_one_read_of_pillow_is_rendered():
    """libjpeg needs the whole of such a file at once."""
    data = read("valid/ljt__testimgari.jpg")
    room = 62_000
    longer = data[:2] + b"\xff\xfe" + room.to_bytes(2, "big") + bytes(room - 2) + data[2:]
    assert len(longer) > 65_536
    assert rendered(longer, "PNG", 20).data == rendered(data, "PNG", 20).data
