"""Sizes of renditions: given sides are exact, derived sides keep the proportions (docs/contract.md, section 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadParameter
from service.formats import CENTER, Fit, Gravity
from service.imaging.geometry import MAX_SIDE, Plan, check, draft

sides = st.integers(1, 4096)
sources = st.tuples(st.integers(1, 8000), st.integers(1, 8000))


def plan(source, width, height, fit, *, enlarge=True) -> Plan:
    made = draft(source, width, height, fit, enlarge=enlarge, max_dimension=4096)
    check(made.size, 4096)
    return made


def size(source, width, height, fit=Fit.CONTAIN, *, enlarge=True):
    return plan(source, width, height, fit, enlarge=enlarge).size


@pytest.mark.parametrize(
    ("source", "sides", "made"),
    [
        ((400, 300), (200, None), (200, 150)),
        ((400, 300), (None, 150), (200, 150)),
        ((400, 300), (200, 200), (200, 150)),
        ((400, 300), (800, 800), (800, 600)),
        ((300, 400), (200, 200), (150, 200)),
        ((1000, 1), (10, None), (10, 1)),
        ((2, 1), (5, None), (5, 3)),  # 2.5 rounds up
        ((2, 3), (3, None), (3, 5)),  # 4.5 rounds up
        ((5000, 2500), (None, None), (4096, 2048)),
        ((100, 50), (None, None), (100, 50)),
    ],
)
def test_derived_side_keeps_proportions(source, sides, made):
    assert size(source, *sides) == made


@given(sources, sides, sides)
def test_contain_fills_one_side_of_the_box_and_keeps_proportions_within_a_pixel(source, width, height):
    made = size(source, width, height)
    assert made[0] <= width and made[1] <= height
    assert made[0] == width or made[1] == height
    scale = min(width / source[0], height / source[1])
    assert abs(made[0] - max(1, source[0] * scale)) <= 1
    assert abs(made[1] - max(1, source[1] * scale)) <= 1


@given(sources, sides, sides, st.sampled_from([Fit.COVER, Fit.FILL, Fit.PAD]))
def test_cover_fill_and_pad_have_the_size_of_the_box(source, width, height, fit):
    assert size(source, width, height, fit) == (width, height)


@given(sources, sides, sides)
def test_cover_crops_the_middle_in_the_shape_of_the_box(source, width, height):
    left, top, right, bottom = plan(source, width, height, Fit.COVER).crop
    assert left >= 0 and top >= 0 and right <= source[0] + 1e-6 and bottom <= source[1] + 1e-6
    assert abs(left - (source[0] - right)) < 1e-6 and abs(top - (source[1] - bottom)) < 1e-6
    assert abs((right - left) * height - (bottom - top) * width) < 1e-3 * width * height
    assert left < 1e-6 or top < 1e-6


@given(sources, sides, sides, st.sampled_from(list(Fit)))
def test_picture_is_not_enlarged_without_enlarge(source, width, height, fit):
    made = plan(source, width, height, fit, enlarge=False)
    shown = made.crop or (0, 0, *source)
    assert made.scaled[0] <= shown[2] - shown[0] + 1 and made.scaled[1] <= shown[3] - shown[1] + 1
    assert made.size[0] <= width and made.size[1] <= height
    if fit is Fit.PAD:
        assert made.size == (width, height)


@given(sources, st.one_of(sides, st.none()), st.one_of(sides, st.none()), st.sampled_from(list(Fit)), st.booleans())
def test_size_is_within_the_limits_or_named_in_the_error(source, width, height, fit, enlarge):
    try:
        made = size(source, width, height, fit, enlarge=enlarge)
    except BadParameter as error:
        assert f"{error.values['width']}x{error.values['height']}" in str(error)
    else:
        assert min(made) >= 1 and max(made) <= MAX_SIDE and made[0] * made[1] <= 4096**2


def test_side_and_area_above_the_limits_are_refused_with_their_size():
    with pytest.raises(BadParameter, match=r"100x20000 .*16383"):
        size((1, 200), 100, None)
    with pytest.raises(BadParameter, match=r"4096x8192 .*16777216"):
        size((1, 2), 4096, None)


def test_pad_puts_the_picture_into_the_middle():
    made = plan((400, 300), 200, 200, Fit.PAD)
    assert (made.scaled, made.canvas, made.offset) == ((200, 150), (200, 200), (0, 25))


@pytest.mark.parametrize(
    ("gravity", "crop"),
    [
        (CENTER, (100, 0, 500, 400)),
        (Gravity(across=0), (0, 0, 400, 400)),
        (Gravity(across=100), (200, 0, 600, 400)),
        (Gravity(40, 100), (40, 0, 440, 400)),
        (Gravity(10, 0), (0, 0, 400, 400)),  # as far as the edge
    ],
)
def test_crop_is_around_the_gravity_and_within_the_picture(gravity, crop):
    made = draft((600, 400), 50, 50, Fit.COVER, enlarge=True, max_dimension=4096, gravity=gravity)
    assert made.crop == pytest.approx(crop)


@given(sources, sides, sides, st.integers(0, 100), st.integers(0, 100))
def test_crop_has_the_shape_of_the_box_whatever_the_gravity(source, width, height, across, down):
    centred, moved = (
        draft(source, width, height, Fit.COVER, enlarge=True, max_dimension=4096, gravity=gravity).crop
        for gravity in (CENTER, Gravity(across, down))
    )
    left, top, right, bottom = moved
    assert left >= 0 and top >= 0 and right <= source[0] + 1e-6 and bottom <= source[1] + 1e-6
    assert right - left == pytest.approx(centred[2] - centred[0])
    assert bottom - top == pytest.approx(centred[3] - centred[1])
