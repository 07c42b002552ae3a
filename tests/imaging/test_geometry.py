"""Sizes: exact where they were asked for, in proportion where they were not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadParameter
from service.formats import Fit
from service.imaging.geometry import MAX_SIDE, plan

sides = st.integers(1, 4096)
sources = st.tuples(st.integers(1, 8000), st.integers(1, 8000))


def size(source, width, height, fit=Fit.CONTAIN, enlarge=True):
    return plan(source, width, height, fit, enlarge=enlarge, max_dimension=4096).size


@pytest.mark.parametrize(
    ("source", "asked", "made"),
    [
        ((400, 300), (200, None), (200, 150)),
        ((400, 300), (None, 150), (200, 150)),
        ((400, 300), (200, 200), (200, 150)),
        ((400, 300), (800, 800), (800, 600)),
        ((300, 400), (200, 200), (150, 200)),
        ((1000, 1), (10, None), (10, 1)),
        ((2, 1), (5, None), (5, 3)),  # 2.5 rounds up
        ((2, 3), (3, None), (3, 5)),  # so does 4.5
        ((5000, 2500), (None, None), (4096, 2048)),
        ((100, 50), (None, None), (100, 50)),
    ],
)
def test_sizes_in_proportion(source, asked, made):
    assert size(source, *asked) == made


@given(sources, sides, sides)
def test_contain_stays_in_the_box_touches_it_and_keeps_proportions_within_a_pixel(source, width, height):
    made = size(source, width, height)
    assert made[0] <= width and made[1] <= height
    assert made[0] == width or made[1] == height
    scale = min(width / source[0], height / source[1])
    assert abs(made[0] - max(1, source[0] * scale)) <= 1
    assert abs(made[1] - max(1, source[1] * scale)) <= 1


@given(sources, sides, sides, st.sampled_from([Fit.COVER, Fit.FILL, Fit.PAD]))
def test_the_other_fits_give_exactly_the_box(source, width, height, fit):
    assert size(source, width, height, fit) == (width, height)


@given(sources, sides, sides)
def test_cover_cuts_the_middle_in_the_shape_of_the_box(source, width, height):
    left, top, right, bottom = plan(source, width, height, Fit.COVER, enlarge=True, max_dimension=4096).crop
    assert left >= 0 and top >= 0 and right <= source[0] + 1e-6 and bottom <= source[1] + 1e-6
    assert abs(left - (source[0] - right)) < 1e-6 and abs(top - (source[1] - bottom)) < 1e-6
    assert abs((right - left) * height - (bottom - top) * width) < 1e-3 * width * height
    assert left < 1e-6 or top < 1e-6


@given(sources, sides, sides, st.sampled_from(list(Fit)))
def test_without_enlarging_no_picture_grows(source, width, height, fit):
    made = plan(source, width, height, fit, enlarge=False, max_dimension=4096)
    seen = made.crop or (0, 0, *source)
    assert made.scaled[0] <= seen[2] - seen[0] + 1 and made.scaled[1] <= seen[3] - seen[1] + 1
    assert made.size[0] <= width and made.size[1] <= height
    if fit is Fit.PAD:
        assert made.size == (width, height)


@given(sources, st.one_of(sides, st.none()), st.one_of(sides, st.none()), st.sampled_from(list(Fit)), st.booleans())
def test_whatever_is_asked_gives_a_size_within_the_limits_or_says_which_it_would_be(source, width, height, fit, grow):
    try:
        made = size(source, width, height, fit, grow)
    except BadParameter as error:
        assert f"{error.values['width']}x{error.values['height']}" in str(error)
    else:
        assert min(made) >= 1 and max(made) <= MAX_SIDE and made[0] * made[1] <= 4096**2


def test_a_derived_side_and_an_area_beyond_the_limits_are_refused_by_name():
    with pytest.raises(BadParameter, match=r"100x20000 .*16383"):
        size((1, 200), 100, None)
    with pytest.raises(BadParameter, match=r"4096x8192 .*16777216"):
        size((1, 2), 4096, None)


def test_pad_lies_in_the_middle():
    made = plan((400, 300), 200, 200, Fit.PAD, enlarge=True, max_dimension=4096)
    assert (made.scaled, made.canvas, made.offset) == ((200, 150), (200, 200), (0, 25))
