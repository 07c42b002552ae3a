"""The expected seconds of renders."""

from __future__ import annotations

import pytest

from service.formats import Format
from service.rendering.costs import Costs


def measured(seconds: float, count: int = 10) -> Costs:
    costs = Costs()
    for _ in range(count):
        costs.add(Format.JPEG, 12_000_000, seconds)
    return costs


def test_render_takes_50_ms_a_megapixel_until_ten_are_measured() -> None:
    assert Costs().expected(Format.AVIF, 12_000_000) == pytest.approx(0.6)
    assert measured(0.1, 9).expected(Format.JPEG, 12_000_000) == pytest.approx(0.6)
    assert measured(0.1).expected(Format.JPEG, 12_000_000) == pytest.approx(0.1)


def test_each_format_has_its_own_average_and_an_unmeasured_one_that_of_all() -> None:
    costs = measured(0.1)
    costs.add(Format.AVIF, 12_000_000, 1.0)
    assert costs.expected(Format.AVIF, 12_000_000) == pytest.approx(1.0)
    assert costs.expected(Format.JPEG, 12_000_000) == pytest.approx(0.1)
    assert 0.1 < costs.expected(Format.PNG, 12_000_000) < 1.0


def test_average_follows_the_last_renders() -> None:
    costs = measured(0.1)
    for _ in range(100):
        costs.add(Format.JPEG, 12_000_000, 0.2)
    assert costs.expected(Format.JPEG, 12_000_000) == pytest.approx(0.2, rel=0.02)


def test_small_renders_do_not_make_a_large_one_expensive() -> None:
    costs = Costs()
    for _ in range(20):
        costs.add(Format.JPEG, 10_000, 0.003)
    assert costs.expected(Format.JPEG, 12_000_000) < 0.3
