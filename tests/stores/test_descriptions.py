"""The table of descriptions: pictures that were read before are described as they were."""

from __future__ import annotations

import math
from dataclasses import replace
from hashlib import sha256

import pytest

from service.formats import Format
from service.pictures.values import Fault, Original
from service.stores.descriptions import Descriptions

VERSION = "2ef0-17b-00112233445566778899aabb"
ORIGINAL = Original(7, VERSION, 12_016, 1_700_000_000, Format.HEIC, alpha=True, dimensions=(16_777_215, 3))


@pytest.mark.parametrize(
    "original",
    [ORIGINAL, replace(ORIGINAL, dimensions=None), replace(ORIGINAL, format=Format.AVIF, alpha=False)],
)
def test_kept_description_is_found(original: Original) -> None:
    descriptions = Descriptions()
    descriptions.keep(original)
    assert descriptions.find(7, VERSION, 12_016, 1_700_000_000) == original
    other = VERSION.replace("0011", "0012")
    assert descriptions.find(7, other, 12_016, 1_700_000_000) is None


@pytest.mark.parametrize(
    "original",
    [
        replace(ORIGINAL, fault=Fault("It is no picture.", (), math.inf)),
        replace(ORIGINAL, dimensions=(16_777_216, 3)),
        replace(ORIGINAL, size=65_537),
    ],
)
def test_others_are_not_kept(original: Original) -> None:
    descriptions = Descriptions()
    descriptions.keep(original)
    assert descriptions.find(7, VERSION, original.size, 1_700_000_000) is None


def test_table_keeps_most_of_100000_pictures() -> None:
    descriptions = Descriptions()
    originals = [replace(ORIGINAL, version=f"2ef0-17b-{sha256(b'%d' % n).hexdigest()[:24]}") for n in range(100_000)]
    for each in originals:
        descriptions.keep(each)
    found = [descriptions.find(7, each.version, 12_016, 1_700_000_000) for each in originals]
    assert {*found} <= {*originals, None}
    assert sum(each is not None for each in found) > 95_000
