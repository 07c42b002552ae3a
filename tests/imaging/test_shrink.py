"""Decoding of a JPEG at a fraction of its size."""

import io

import pytest
from PIL import Image, JpegImagePlugin

from service.imaging.reading.decode import shrink_on_load
from tools.pictures.drawing import saved


def _decoded(width: int, height: int, ratio: float, least: float = 0.0) -> tuple[int, int]:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(saved(Image.new("RGB", (width, height)), "JPEG")))
    shrink_on_load(image, ratio, least)
    image.load()
    return image.size


@pytest.mark.parametrize(
    ("target", "decoded"),
    [(1600, 1600), (540, 1600), (530, 800), (190, 800), (186, 400), (94, 400), (93, 200), (10, 200)],
)
def test_jpeg_is_decoded_at_a_fraction_above_the_target(target, decoded):
    assert _decoded(1600, 1200, target / 1600) == (decoded, decoded * 3 // 4)


def test_decoded_size_is_at_least_the_least_one():
    assert _decoded(1600, 1200, 10 / 1600, least=1 / 4) == (400, 300)
    assert _decoded(1600, 1200, 10 / 1600, least=401 / 1600) == (800, 600)
    assert _decoded(1600, 1200, 530 / 1600, least=1 / 8) == (800, 600)


def test_enlarged_jpeg_is_decoded_in_full():
    assert _decoded(40, 30, 4.0) == (40, 30)


@pytest.mark.parametrize("size", [(1, 1600), (3, 3), (1600, 1)])
def test_smallest_sides_are_decoded(size):
    assert min(_decoded(*size, 0.01)) >= 1


def test_other_formats_are_decoded_in_full():
    image = Image.open(io.BytesIO(saved(Image.new("RGB", (160, 120)), "PNG")))
    shrink_on_load(image, 0.01)
    image.load()
    assert image.size == (160, 120)
